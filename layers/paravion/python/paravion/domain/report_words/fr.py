"""The words of reports, in French."""

from __future__ import annotations

from typing import Final

PHRASES: Final = {
    "subject.failed": "Non remis\xa0: votre message à {whom}",
    "subject.expired": "Non remis\xa0: votre message à {whom}",
    "subject.delayed": "Retardé, nous essayons encore\xa0: votre message à {whom}",
    "subject.relayed": "Transmis\xa0: votre message à {whom}",
    "subject.delivered": "Remis\xa0: votre message à {whom}",
    "subject.listed": "Remis\xa0: votre message à {whom}",
    "subject.expanded": "Transmis\xa0: votre message à {whom}",
    "subject.report": "Non remis\xa0: un rapport à {whom}",
    "subject.many": "{count} destinataires",
    "what.failed.one": "Votre message n'a pas pu être remis à ce destinataire\xa0:",
    "what.failed.many": "Votre message n'a pas pu être remis à ces {count} destinataires\xa0:",
    "what.expired.one": "Votre message n'a pas pu être remis à ce destinataire. "
    "Nous avons essayé pendant {tried} et y renonçons maintenant\xa0:",
    "what.expired.many": "Votre message n'a pas pu être remis à ces {count} destinataires. "
    "Nous avons essayé pendant {tried} et y renonçons maintenant\xa0:",
    "what.delayed.one": "Votre message est retardé. Vous n'avez rien à faire. "
    "Nous essayons depuis {tried}, sans succès jusqu'ici, de le remettre à ce destinataire\xa0:",
    "what.delayed.many": "Votre message est retardé. Vous n'avez rien à faire. "
    "Nous essayons depuis {tried}, sans succès jusqu'ici, de le remettre à ces {count} destinataires\xa0:",
    "what.relayed.one": "Vous avez demandé à savoir quand votre message serait remis. "
    "Le système de messagerie de ce destinataire l'a accepté\xa0:",
    "what.relayed.many": "Vous avez demandé à savoir quand votre message serait remis. "
    "Les systèmes de messagerie de ces {count} destinataires l'ont accepté\xa0:",
    "what.delivered.one": "Vous avez demandé à savoir quand votre message serait remis. "
    "Il a été confié au programme qui reçoit les messages pour cette adresse\xa0:",
    "what.delivered.many": "Vous avez demandé à savoir quand votre message serait remis. "
    "Il a été confié aux programmes qui reçoivent les messages pour ces {count} adresses\xa0:",
    "what.listed.one": "Vous avez demandé à savoir quand votre message serait remis. "
    "Cette adresse est une liste de diffusion, et votre message y est arrivé\xa0:",
    "what.listed.many": "Vous avez demandé à savoir quand votre message serait remis. "
    "Ces {count} adresses sont des listes de diffusion, et votre message y est arrivé\xa0:",
    "what.expanded.one": "Vous avez demandé à savoir quand votre message serait remis. "
    "Cette adresse désigne plusieurs destinataires, et votre message leur est transmis\xa0:",
    "what.expanded.many": "Vous avez demandé à savoir quand votre message serait remis. "
    "Chacune de ces {count} adresses désigne plusieurs destinataires, et votre message leur est transmis\xa0:",
    "what.report.one": "À l'administrateur de la messagerie\xa0: nous avons voulu dire à un expéditeur ce que son "
    "message est devenu, et ce rapport n'a pas pu être remis non plus. L'expéditeur n'en sait donc rien. "
    "Le rapport était pour\xa0:",
    "what.report.many": "À l'administrateur de la messagerie\xa0: nous avons voulu dire à ces {count} expéditeurs "
    "ce que leur message est devenu, et ce rapport n'a pas pu être remis non plus. Ils n'en savent donc rien. "
    "Le rapport était pour\xa0:",
    "other": "Il ne s'agit pas ici de l'autre destinataire de votre message.",
    "others": "Il ne s'agit pas ici des {count} autres destinataires de votre message.",
    "passed_on": "{address} (transmis à {final})",
    "why": "Pourquoi\xa0: {reason}",
    "advice": "Ce que vous pouvez faire\xa0: {advice}",
    "waits_here": "Il attend encore dans notre propre système de messagerie.",
    "their_reason": "Le motif indiqué : {reason}",
    "last_try": "Lors du dernier essai, {reason}.",
    "gave_up": "Nous avons essayé pendant {tried} et y renonçons maintenant.",
    "advice.expired": "Renvoyez votre message plus tard, ou demandez au destinataire par un autre moyen, par exemple "
    "par téléphone, s'il y a un problème.",
    "after.delayed": "Nous continuerons d'essayer jusqu'au {until}. Si votre message n'a pas été remis d'ici là, nous "
    "vous le dirons. Ne le renvoyez pas maintenant\xa0: le destinataire pourrait le recevoir deux fois.",
    "after.relayed": "Nous ne saurons pas quand votre message sera dans la boîte aux lettres\xa0; c'est donc la "
    "dernière confirmation que vous recevrez. S'il ne peut pas être remis malgré tout, vous devriez en être averti.",
    "after.traced": "Cela ne veut pas encore dire qu'il est remis\xa0: il a été transmis, et il devait être remis "
    "avant une certaine heure. Si ce système ne peut pas le remettre, il devrait vous le dire.",
    "after.listed": "La liste l'envoie maintenant à ses membres. Vous ne recevrez rien au sujet de chacun d'eux, ni "
    "des échecs\xa0: ceux-ci sont signalés au responsable de la liste.",
    "after.expanded": "Vous ne recevrez pas de confirmation pour chacun. Si l'un d'eux ne peut pas être joint, vous "
    "le saurez, sauf si vous avez demandé le contraire.",
    "mail": "Le message dont il s'agit\xa0:",
    "mail.subject": "Objet\xa0: {value}",
    "mail.date": "Envoyé\xa0: {value}",
    "mail.release": "À envoyer le\xa0: {value}",
    "mail.deadline": "À remettre avant\xa0: {value}",
    "note.cut": "Votre message est trop grand pour être renvoyé en entier\xa0: seul son début, l'en-tête, est joint.",
    "note.redacted": "Votre message ne devait passer que par des connexions sécurisées. Ce n'est peut-être pas le cas "
    "de celui-ci, qui n'en répète donc ni l'objet ni le texte.",
    "closing": "Ce message a été écrit par le système de messagerie {host}\xa0; personne ne lit les réponses. Si vous "
    "avez besoin d'aide, transmettez le message entier aux personnes qui s'occupent de votre messagerie. "
    "La suite est pour elles.",
    "details": "Détails techniques",
    "details.expired": "abandon le {date}\xa0; dernier événement\xa0:",
    "details.reply": "{host} a répondu à {command}\xa0:",
    "details.reply.plain": "{host} a répondu\xa0:",
    "details.fault": "ce qui s'est passé\xa0:",
    "details.fault.host": "essai auprès de {host}\xa0:",
    "details.nothing": "pas d'autres détails",
    "details.a_host": "Le système de messagerie",
    "details.ids": "Notre référence de votre message\xa0: {original}\nNotre référence de ce message\xa0: {report}",
    "command.GREETING": "notre connexion",
    "command.CONTENT": "l'envoi du message",
    "command.DOT": "la fin du message",
    "day": "{weekday} {day} {month} {year} à {hour:02}:{minute:02} UTC",
    "weekdays": "lundi mardi mercredi jeudi vendredi samedi dimanche",
    "months": "janvier février mars avril mai juin juillet août septembre octobre novembre décembre",
    "days": "{count} jours",
    "hours": "{count} heures",
    "minutes": "{count} minutes",
    "seconds": "{count} secondes",
    "second": "1 seconde",
}

_ASK: Final = "demandez au destinataire par un autre moyen, par exemple par téléphone,"
_LOOK: Final = "Vérifiez l'orthographe de la partie de l'adresse qui se trouve {part} le @. Si elle est juste, " + _ASK
_SMALLER: Final = "Renvoyez-le avec des pièces jointes plus petites, ou avec un lien vers les fichiers."
_SHOW: Final = "Montrez ce message aux personnes qui s'occupent de votre messagerie."
_SENDER: Final = "le système de messagerie du destinataire n'accepte pas votre propre adresse comme expéditeur."
_FORGED: Final = (
    "le système de messagerie du destinataire n'a pas pu s'assurer que votre message vient vraiment de votre adresse."
)
_OTHERWISE: Final = "Envoyez votre message de nouveau sans cette condition, ou trouvez une voie plus sûre."
_RULE: Final = (
    "le système de messagerie du destinataire a refusé votre message selon une règle qui lui est propre. Il l'a "
    "peut-être pris pour du courrier indésirable, ou il n'accepte aucun message de vous."
)

FAILED: Final = {
    "1": (
        "quelque chose ne va pas dans cette adresse.",
        f"Vérifiez son orthographe. Si elle est juste, {_ASK} son adresse.",
    ),
    "1.1": (
        "cette adresse n'existe pas. Le système de messagerie du destinataire ne connaît pas de boîte de ce nom.",
        f"{_LOOK.format(part='avant')} son adresse actuelle.",
    ),
    "1.2": (
        "il n'y a pas de système de messagerie pour la partie de l'adresse qui se trouve après le @.",
        f"{_LOOK.format(part='après')} son adresse actuelle.",
    ),
    "1.3": (
        "ce n'est pas une adresse de messagerie valide.",
        "Vérifiez son orthographe et renvoyez votre message.",
    ),
    "1.6": (
        "le destinataire a déménagé sans laisser de nouvelle adresse.",
        "Demandez-lui sa nouvelle adresse par un autre moyen, par exemple par téléphone.",
    ),
    "1.7": (_SENDER, f"Vérifiez l'adresse d'expéditeur dans votre programme de messagerie. {_SHOW}"),
    "1.8": (_SENDER, f"Vérifiez l'adresse d'expéditeur dans votre programme de messagerie. {_SHOW}"),
    "1.10": (
        "la partie de l'adresse qui se trouve après le @ ne reçoit aucun message.",
        f"{_LOOK.format(part='après')} une autre adresse.",
    ),
    "2": (
        "la boîte du destinataire ne peut pas recevoir votre message.",
        f"Si c'est urgent, {_ASK} ce qui ne va pas.",
    ),
    "2.1": (
        "la boîte du destinataire est désactivée.",
        f"Si votre message est important, {_ASK} une autre adresse.",
    ),
    "2.2": (
        "la boîte du destinataire est pleine.",
        f"Renvoyez votre message dans quelques jours. Si c'est urgent, {_ASK} de faire de la place.",
    ),
    "2.3": ("votre message est plus grand que ce que permet la boîte du destinataire.", _SMALLER),
    "3": ("le système de messagerie du destinataire est en panne.", "Renvoyez votre message plus tard."),
    "3.4": ("votre message est plus grand que ce que permet le système de messagerie du destinataire.", _SMALLER),
    "4": (
        "le système de messagerie du destinataire n'a pas pu être joint.",
        (
            "Vérifiez l'orthographe de la partie de l'adresse qui se trouve après le @, ou renvoyez votre message plus "
            "tard."
        ),
    ),
    "4.6": ("votre message a tourné en rond entre des systèmes de messagerie.", _SHOW),
    "5": ("le système de messagerie du destinataire et le nôtre ne se sont pas compris.", _SHOW),
    "5.3": (
        "votre message a trop de destinataires.",
        "Renvoyez-le à moins de destinataires à la fois.",
    ),
    "6": (
        "le système de messagerie du destinataire n'a pas accepté la forme ou le contenu de votre message.",
        "Renvoyez votre message en texte simple, ou sans ses pièces jointes.",
    ),
    "6.3": (
        (
            "le système de messagerie du destinataire n'accepte que les lettres simples, et votre message ne peut pas "
            "être réécrit sans être abîmé."
        ),
        "Renvoyez votre message sans signature ni chiffrement, et sans accents ni autres lettres particulières.",
    ),
    "6.7": (
        "l'adresse contient des lettres que le système de messagerie du destinataire ne sait pas encore traiter.",
        f"S'il vous plaît, {_ASK} une adresse sans accents ni autres lettres particulières.",
    ),
    "7.10": (
        "aucune connexion vers le système du destinataire n'est aussi sûre que votre message le demande.",
        _OTHERWISE,
    ),
    "7.30": (
        "le système du destinataire ne s'engage pas à ne transmettre votre message que par des connexions sécurisées.",
        _OTHERWISE,
    ),
    "7": (_RULE, f"Si le destinataire attend votre message, {_ASK} de le laisser entrer."),
    "": (
        "le système de messagerie du destinataire a refusé votre message\xa0; sa réponse se trouve ci-dessous.",
        f"Vérifiez l'orthographe de l'adresse. Si elle est juste, {_ASK} s'il y a un problème.",
    ),
} | dict.fromkeys(
    ("7.20", "7.21", "7.22", "7.23", "7.24", "7.25", "7.26", "7.27"), (_FORGED, f"Rien de votre côté. {_SHOW}")
)

FAILED_HERE: Final = {
    "3.4": ("votre message est trop grand.", _SMALLER),
    "4.7": (
        "il devait être remis à temps ou vous être renvoyé, et le système du destinataire ne s'y engage pas.",
        "Envoyez-le de nouveau sans la condition d'être remis avant une certaine heure.",
    ),
    "3.0": ("notre système de messagerie l'a perdu. Nous en sommes désolés.", "Envoyez-le de nouveau."),
    "7.0": ("une personne qui s'occupe de notre messagerie l'a arrêté.", _SHOW),
    "7": ("une règle de notre propre système de messagerie ne permet pas d'écrire à cette adresse.", _SHOW),
    "": ("notre système de messagerie n'a pas pu l'envoyer.", _SHOW),
}

FAILED_SUPPRESSED: Final = (
    (
        "notre propre système de messagerie n'a pas essayé. Il n'envoie plus rien à cette adresse depuis qu'un "
        "message en est revenu ou a donné lieu à une plainte."
    ),
    (
        "Si l'adresse est juste, demandez aux personnes qui s'occupent de votre messagerie de l'ôter de la liste "
        "d'exclusion."
    ),
)

FAILED_UNSUBSCRIBED: Final = (
    "le destinataire s'est désabonné de cette liste ; notre système de messagerie ne l'a donc pas envoyé.",
    "Vous n'avez rien à faire. Merci de respecter ce choix.",
)

FAILED_HELD: Final = ("notre système de messagerie l'a retenu, et personne ne l'a libéré à temps.", _SHOW)

LATER: Final = {
    "2": "la boîte du destinataire ne pouvait pas le recevoir",
    "2.2": "la boîte du destinataire était pleine",
    "3": "le système de messagerie du destinataire ne prenait pas de messages",
    "4": "le système de messagerie du destinataire n'a pas pu être joint",
    "4.2": "la connexion au système de messagerie du destinataire a été coupée",
    "4.3": "nous n'avons pas trouvé quel système de messagerie sert la partie de l'adresse qui se trouve après le @",
    "4.7": "le système de messagerie du destinataire n'a pas pu être joint",
    "7": "le système de messagerie du destinataire voulait que nous attendions avant de prendre un message de vous",
    "": "le système de messagerie du destinataire nous a priés de réessayer plus tard",
}

LATER_HERE: Final = {
    "3": "une panne de notre côté y a fait obstacle",
    "7": "aucune connexion sécurisée au système de messagerie du destinataire n'a pu être établie",
    "": "le système de messagerie du destinataire n'a pas pu être joint",
}
