"""The words of reports, in Spanish."""

from __future__ import annotations

from typing import Final

PHRASES: Final = {
    "subject.failed": "No entregado: su mensaje a {whom}",
    "subject.expired": "No entregado: su mensaje a {whom}",
    "subject.delayed": "Retrasado, seguimos intentándolo: su mensaje a {whom}",
    "subject.relayed": "Transmitido: su mensaje a {whom}",
    "subject.delivered": "Entregado: su mensaje a {whom}",
    "subject.listed": "Entregado: su mensaje a {whom}",
    "subject.expanded": "Transmitido: su mensaje a {whom}",
    "subject.report": "No entregado: un informe a {whom}",
    "subject.many": "{count} destinatarios",
    "what.failed.one": "Su mensaje no se pudo entregar a este destinatario:",
    "what.failed.many": "Su mensaje no se pudo entregar a estos {count} destinatarios:",
    "what.expired.one": "Su mensaje no se pudo entregar a este destinatario. "
    "Lo hemos intentado durante {tried} y ahora desistimos:",
    "what.expired.many": "Su mensaje no se pudo entregar a estos {count} destinatarios. "
    "Lo hemos intentado durante {tried} y ahora desistimos:",
    "what.delayed.one": "Su mensaje se retrasa. Usted no tiene que hacer nada. "
    "Llevamos {tried} intentando, por ahora sin éxito, entregarlo a este destinatario:",
    "what.delayed.many": "Su mensaje se retrasa. Usted no tiene que hacer nada. "
    "Llevamos {tried} intentando, por ahora sin éxito, entregarlo a estos {count} destinatarios:",
    "what.relayed.one": "Usted pidió saber cuándo se entrega su mensaje. "
    "El sistema de correo de este destinatario lo ha aceptado:",
    "what.relayed.many": "Usted pidió saber cuándo se entrega su mensaje. "
    "Los sistemas de correo de estos {count} destinatarios lo han aceptado:",
    "what.delivered.one": "Usted pidió saber cuándo se entrega su mensaje. "
    "Se ha dado al programa que recibe el correo de esta dirección:",
    "what.delivered.many": "Usted pidió saber cuándo se entrega su mensaje. "
    "Se ha dado a los programas que reciben el correo de estas {count} direcciones:",
    "what.listed.one": "Usted pidió saber cuándo se entrega su mensaje. "
    "Esta dirección es una lista de correo, y su mensaje ha llegado a ella:",
    "what.listed.many": "Usted pidió saber cuándo se entrega su mensaje. "
    "Estas {count} direcciones son listas de correo, y su mensaje ha llegado a ellas:",
    "what.expanded.one": "Usted pidió saber cuándo se entrega su mensaje. "
    "Esta dirección representa a varios destinatarios, y su mensaje se les está transmitiendo:",
    "what.expanded.many": "Usted pidió saber cuándo se entrega su mensaje. "
    "Cada una de estas {count} direcciones representa a varios destinatarios, y su mensaje se les está transmitiendo:",
    "what.report.one": "Al administrador del correo: quisimos decir a un remitente qué fue de su mensaje, y tampoco "
    "pudimos entregar ese informe. Por lo tanto, el remitente no sabe nada. El informe era para:",
    "what.report.many": "Al administrador del correo: quisimos decir a estos {count} remitentes qué fue de su "
    "mensaje, y tampoco pudimos entregar ese informe. Por lo tanto, no saben nada. El informe era para:",
    "other": "Este aviso no trata del otro destinatario de su mensaje.",
    "others": "Este aviso no trata de los otros {count} destinatarios de su mensaje.",
    "passed_on": "{address} (reenviado a {final})",
    "why": "Por qué: {reason}",
    "advice": "Qué puede hacer: {advice}",
    "waits_here": "Todavía espera en nuestro propio sistema de correo.",
    "their_reason": "El motivo indicado: {reason}",
    "last_try": "En el último intento, {reason}.",
    "gave_up": "Lo hemos intentado durante {tried} y ahora desistimos.",
    "advice.expired": "Envíe su mensaje de nuevo más tarde, o pregunte al destinatario por otro medio, por ejemplo por "
    "teléfono, si hay algún problema.",
    "after.delayed": "Seguiremos intentándolo hasta el {until}. Si para entonces su mensaje no se ha entregado, se lo "
    "diremos. No lo envíe de nuevo ahora: el destinatario podría recibirlo dos veces.",
    "after.relayed": "No nos dirá cuándo está su mensaje en el buzón, así que esta es la última confirmación que "
    "recibirá. Si al final no puede entregarlo, debería avisarle.",
    "after.traced": "Esto no significa aún que se haya entregado: se ha transmitido, y debía entregarse antes de una "
    "hora determinada. Si ese sistema no puede entregarlo, debería decírselo.",
    "after.listed": "La lista lo envía ahora a sus miembros. No se le informará de cada uno de ellos ni de los fallos: "
    "de esos se informa al responsable de la lista.",
    "after.expanded": "No se le informará de cada entrega. Si no se puede llegar a alguno de ellos, lo sabrá, salvo "
    "que haya pedido lo contrario.",
    "mail": "El mensaje en cuestión:",
    "mail.subject": "Asunto: {value}",
    "mail.date": "Enviado: {value}",
    "mail.release": "Para enviar el: {value}",
    "mail.deadline": "Entregar antes de: {value}",
    "note.cut": "Su mensaje es demasiado grande para devolverlo entero: solo se adjunta su comienzo, la cabecera.",
    "note.redacted": "Su mensaje debía viajar solo por conexiones seguras. Puede que este aviso no lo haga, por lo que "
    "no repite ni el asunto ni el texto.",
    "closing": "Este aviso lo ha escrito el sistema de correo {host}; nadie lee las respuestas. Si necesita ayuda, "
    "reenvíe el aviso entero a las personas que se ocupan de su correo. Lo que sigue es para ellas.",
    "details": "Detalles técnicos",
    "details.expired": "se desistió el {date}; lo último que ocurrió:",
    "details.reply": "{host} respondió a {command}:",
    "details.reply.plain": "{host} respondió:",
    "details.fault": "qué ocurrió:",
    "details.fault.host": "intento con {host}:",
    "details.nothing": "no hay más detalles",
    "details.a_host": "El sistema de correo",
    "details.ids": "Nuestra referencia de su mensaje: {original}\nNuestra referencia de este aviso: {report}",
    "command.GREETING": "nuestra conexión",
    "command.CONTENT": "el envío del mensaje",
    "command.DOT": "el final del mensaje",
    "day": "{weekday} {day} de {month} de {year}, {hour:02}:{minute:02} UTC",
    "weekdays": "lunes martes miércoles jueves viernes sábado domingo",
    "months": "enero febrero marzo abril mayo junio julio agosto septiembre octubre noviembre diciembre",
    "days": "{count} días",
    "hours": "{count} horas",
    "minutes": "{count} minutos",
    "seconds": "{count} segundos",
    "second": "1 segundo",
}

_ASK: Final = "pregunte al destinatario por otro medio, por ejemplo por teléfono,"
_LOOK: Final = "Compruebe que la parte de la dirección que está {part} de la @ esté bien escrita. Si lo está, " + _ASK
_SMALLER: Final = "Envíelo de nuevo con archivos adjuntos más pequeños, o con un enlace a los archivos."
_SHOW: Final = "Muestre este aviso a las personas que se ocupan de su correo."
_SENDER: Final = "el sistema de correo del destinatario no acepta la dirección de usted como remitente."
_FORGED: Final = (
    "el sistema de correo del destinatario no pudo asegurarse de que su mensaje venga realmente de su dirección."
)
_OTHERWISE: Final = "Envíe su mensaje otra vez sin esa condición, o busque una vía más segura."
_RULE: Final = (
    "el sistema de correo del destinatario rechazó su mensaje por una regla propia. Puede que lo haya tomado por "
    "correo no deseado, o que no acepte correo de usted."
)

FAILED: Final = {
    "1": (
        "hay algo mal en esta dirección.",
        f"Compruebe que esté bien escrita. Si lo está, {_ASK} por su dirección.",
    ),
    "1.1": (
        "esta dirección no existe. El sistema de correo del destinatario no conoce ningún buzón con ese nombre.",
        f"{_LOOK.format(part='delante')} por su dirección actual.",
    ),
    "1.2": (
        "no hay ningún sistema de correo para la parte de la dirección que está detrás de la @.",
        f"{_LOOK.format(part='detrás')} por su dirección actual.",
    ),
    "1.3": (
        "no es una dirección de correo válida.",
        "Compruebe que esté bien escrita y envíe su mensaje de nuevo.",
    ),
    "1.6": (
        "el destinatario se ha mudado y no ha dejado una dirección nueva.",
        "Pregúntele su nueva dirección por otro medio, por ejemplo por teléfono.",
    ),
    "1.7": (_SENDER, f"Compruebe la dirección del remitente en su programa de correo. {_SHOW}"),
    "1.8": (_SENDER, f"Compruebe la dirección del remitente en su programa de correo. {_SHOW}"),
    "1.10": (
        "la parte de la dirección que está detrás de la @ no recibe ningún correo.",
        f"{_LOOK.format(part='detrás')} por otra dirección.",
    ),
    "2": (
        "el buzón del destinatario no puede recibir su mensaje.",
        f"Si es urgente, {_ASK} qué ocurre.",
    ),
    "2.1": (
        "el buzón del destinatario está desactivado.",
        f"Si el mensaje es importante, {_ASK} por otra dirección.",
    ),
    "2.2": (
        "el buzón del destinatario está lleno.",
        (
            "Envíe su mensaje de nuevo dentro de unos días. Si es urgente, pida al destinatario por otro medio, por "
            "ejemplo por teléfono, que haga sitio."
        ),
    ),
    "2.3": ("su mensaje es más grande de lo que permite el buzón del destinatario.", _SMALLER),
    "3": ("el sistema de correo del destinatario tiene una avería.", "Envíe su mensaje de nuevo más tarde."),
    "3.4": ("su mensaje es más grande de lo que permite el sistema de correo del destinatario.", _SMALLER),
    "4": (
        "no se pudo llegar al sistema de correo del destinatario.",
        (
            "Compruebe que la parte de la dirección que está detrás de la @ esté bien escrita, o envíe su mensaje "
            "de nuevo más tarde."
        ),
    ),
    "4.6": ("su mensaje dio vueltas en círculo entre sistemas de correo.", _SHOW),
    "5": ("el sistema de correo del destinatario y el nuestro no se entendieron.", _SHOW),
    "5.3": ("su mensaje tiene demasiados destinatarios.", "Envíelo de nuevo a menos destinatarios a la vez."),
    "6": (
        "el sistema de correo del destinatario no aceptó la forma o el contenido de su mensaje.",
        "Envíe su mensaje de nuevo como texto sencillo, o sin los archivos adjuntos.",
    ),
    "6.3": (
        (
            "el sistema de correo del destinatario solo acepta letras sencillas, y su mensaje no se puede "
            "reescribir sin dañarlo."
        ),
        "Envíe su mensaje de nuevo sin firma ni cifrado, y sin acentos ni otras letras especiales.",
    ),
    "6.7": (
        "la dirección tiene letras que el sistema de correo del destinatario todavía no sabe tratar.",
        f"Por favor, {_ASK} por una dirección sin acentos ni otras letras especiales.",
    ),
    "7.10": (
        "ninguna conexión con el sistema del destinatario es tan segura como su mensaje lo exige.",
        _OTHERWISE,
    ),
    "7.30": (
        "el sistema del destinatario no se compromete a transmitir su mensaje solo por conexiones seguras.",
        _OTHERWISE,
    ),
    "7": (
        _RULE,
        "Si el destinatario espera su mensaje, pídale por otro medio, por ejemplo por teléfono, que lo deje pasar.",
    ),
    "": (
        "el sistema de correo del destinatario rechazó su mensaje; lo que dijo está más abajo.",
        f"Compruebe que la dirección esté bien escrita. Si lo está, {_ASK} si hay algún problema.",
    ),
} | dict.fromkeys(
    ("7.20", "7.21", "7.22", "7.23", "7.24", "7.25", "7.26", "7.27"), (_FORGED, f"Nada por su parte. {_SHOW}")
)

FAILED_HERE: Final = {
    "3.4": ("su mensaje es demasiado grande.", _SMALLER),
    "4.7": (
        "debía entregarse a tiempo o devolverse, y el sistema del destinatario no se compromete a ello.",
        "Envíelo de nuevo sin la condición de que se entregue antes de una hora determinada.",
    ),
    "3.0": ("nuestro sistema de correo lo ha perdido. Lo sentimos.", "Envíelo de nuevo."),
    "7.0": ("una persona que se ocupa de nuestro sistema de correo lo ha detenido.", _SHOW),
    "7": ("una regla de nuestro propio sistema de correo no permite escribir a esta dirección.", _SHOW),
    "": ("nuestro sistema de correo no pudo enviarlo.", _SHOW),
}

FAILED_SUPPRESSED: Final = (
    (
        "nuestro propio sistema de correo no lo intentó. No envía nada a esta dirección desde que un mensaje "
        "volvió o hubo una queja."
    ),
    (
        "Si la dirección es correcta, pida a las personas que se ocupan de su correo que la quiten de la lista de "
        "exclusión."
    ),
)

FAILED_UNSUBSCRIBED: Final = (
    "el destinatario se ha dado de baja de esta lista, por lo que nuestro sistema de correo no lo envió.",
    "No tiene que hacer nada. Por favor, respete su deseo.",
)

FAILED_HELD: Final = ("nuestro sistema de correo lo retuvo y nadie lo liberó a tiempo.", _SHOW)

LATER: Final = {
    "2": "el buzón del destinatario no pudo recibirlo",
    "2.2": "el buzón del destinatario estaba lleno",
    "3": "el sistema de correo del destinatario no aceptaba correo",
    "4": "no se pudo llegar al sistema de correo del destinatario",
    "4.2": "se cortó la conexión con el sistema de correo del destinatario",
    "4.3": "no pudimos averiguar qué sistema de correo atiende la parte de la dirección que está detrás de la @",
    "4.7": "no se pudo llegar al sistema de correo del destinatario",
    "7": "el sistema de correo del destinatario quería que esperásemos antes de aceptar correo de usted",
    "": "el sistema de correo del destinatario nos pidió que lo intentáramos más tarde",
}

LATER_HERE: Final = {
    "3": "una avería nuestra lo impidió",
    "7": "no se pudo establecer una conexión segura con el sistema de correo del destinatario",
    "": "no se pudo llegar al sistema de correo del destinatario",
}
