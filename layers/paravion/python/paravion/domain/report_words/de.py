"""The words of reports, in German."""

from __future__ import annotations

from typing import Final

PHRASES: Final = {
    "subject.failed": "Nicht zugestellt: Ihre E-Mail an {whom}",
    "subject.expired": "Nicht zugestellt: Ihre E-Mail an {whom}",
    "subject.delayed": "Verzögert, wir versuchen es weiter: Ihre E-Mail an {whom}",
    "subject.relayed": "Weitergegeben: Ihre E-Mail an {whom}",
    "subject.delivered": "Zugestellt: Ihre E-Mail an {whom}",
    "subject.listed": "Zugestellt: Ihre E-Mail an {whom}",
    "subject.expanded": "Weitergegeben: Ihre E-Mail an {whom}",
    "subject.report": "Nicht zugestellt: ein Bericht an {whom}",
    "subject.many": "{count} Empfänger",
    "what.failed.one": "Ihre E-Mail konnte diesem Empfänger nicht zugestellt werden:",
    "what.failed.many": "Ihre E-Mail konnte diesen {count} Empfängern nicht zugestellt werden:",
    "what.expired.one": "Ihre E-Mail konnte diesem Empfänger nicht zugestellt werden. "
    "Wir haben es {tried} lang versucht und nun aufgegeben:",
    "what.expired.many": "Ihre E-Mail konnte diesen {count} Empfängern nicht zugestellt werden. "
    "Wir haben es {tried} lang versucht und nun aufgegeben:",
    "what.delayed.one": "Ihre E-Mail verzögert sich. Sie brauchen nichts zu tun. "
    "Wir versuchen seit {tried} (bisher ohne Erfolg), sie diesem Empfänger zuzustellen:",
    "what.delayed.many": "Ihre E-Mail verzögert sich. Sie brauchen nichts zu tun. "
    "Wir versuchen seit {tried} (bisher ohne Erfolg), sie diesen {count} Empfängern zuzustellen:",
    "what.relayed.one": "Sie wollten wissen, ob Ihre E-Mail zugestellt wird. "
    "Das Mailsystem dieses Empfängers hat sie angenommen:",
    "what.relayed.many": "Sie wollten wissen, ob Ihre E-Mail zugestellt wird. "
    "Die Mailsysteme dieser {count} Empfänger haben sie angenommen:",
    "what.delivered.one": "Sie wollten wissen, ob Ihre E-Mail zugestellt wird. "
    "Sie wurde dem Programm übergeben, das die E-Mails an diese Adresse annimmt:",
    "what.delivered.many": "Sie wollten wissen, ob Ihre E-Mail zugestellt wird. "
    "Sie wurde den Programmen übergeben, die die E-Mails an diese {count} Adressen annehmen:",
    "what.listed.one": "Sie wollten wissen, ob Ihre E-Mail zugestellt wird. "
    "Diese Adresse ist eine Mailingliste, und Ihre E-Mail ist dort angekommen:",
    "what.listed.many": "Sie wollten wissen, ob Ihre E-Mail zugestellt wird. "
    "Diese {count} Adressen sind Mailinglisten, und Ihre E-Mail ist dort angekommen:",
    "what.expanded.one": "Sie wollten wissen, ob Ihre E-Mail zugestellt wird. "
    "Diese Adresse steht für mehrere Empfänger, und Ihre E-Mail wird an sie weitergegeben:",
    "what.expanded.many": "Sie wollten wissen, ob Ihre E-Mail zugestellt wird. "
    "Jede dieser {count} Adressen steht für mehrere Empfänger, und Ihre E-Mail wird an sie weitergegeben:",
    "what.report.one": "An den Postmaster: Wir wollten einem Absender mitteilen, was aus einer E-Mail wurde, und "
    "konnten auch diesen Bericht nicht zustellen. Der Absender weiß also nichts davon. Der Bericht war für:",
    "what.report.many": "An den Postmaster: Wir wollten diesen {count} Absendern mitteilen, was aus einer E-Mail "
    "wurde, und konnten auch diesen Bericht nicht zustellen. Sie wissen also nichts davon. Der Bericht war für:",
    "other": "Um den anderen Empfänger Ihrer E-Mail geht es in dieser Nachricht nicht.",
    "others": "Um die anderen {count} Empfänger Ihrer E-Mail geht es in dieser Nachricht nicht.",
    "passed_on": "{address} (weitergeleitet an {final})",
    "why": "Grund: {reason}",
    "advice": "Was Sie tun können: {advice}",
    "waits_here": "Sie wartet noch in unserem eigenen Mailsystem.",
    "their_reason": "Als Grund steht dabei: {reason}",
    "last_try": "Beim letzten Versuch: {reason}.",
    "gave_up": "Wir haben es {tried} lang versucht und nun aufgegeben.",
    "advice.expired": "Senden Sie Ihre E-Mail später noch einmal, oder fragen Sie den Empfänger auf anderem Weg, "
    "zum Beispiel am Telefon, ob etwas nicht in Ordnung ist.",
    "after.delayed": "Wir versuchen es weiter bis {until}. Ist Ihre E-Mail bis dahin nicht zugestellt, teilen wir "
    "es Ihnen mit. Bitte senden Sie sie jetzt nicht noch einmal: Der Empfänger könnte sie zweimal erhalten.",
    "after.relayed": "Es teilt uns nicht mit, wann Ihre E-Mail im Postfach liegt; dies ist also die letzte "
    "Bestätigung, die Sie erhalten. Kann es Ihre E-Mail doch nicht zustellen, sollte es Ihnen das mitteilen.",
    "after.traced": "Das heißt noch nicht, dass sie zugestellt ist: Sie wurde weitergegeben, und sie war bis zu einer "
    "bestimmten Zeit zuzustellen. Kann jenes System sie nicht zustellen, sollte es Ihnen das mitteilen.",
    "after.listed": "Die Liste sendet sie nun an ihre Mitglieder. Über diese erhalten Sie keine Mitteilungen, auch "
    "nicht über Fehler: Die gehen an den Betreuer der Liste.",
    "after.expanded": "Sie erhalten nicht für jeden Empfänger eine Bestätigung. Ist einer nicht zu erreichen, "
    "erfahren Sie es, außer wenn Sie das nicht wünschten.",
    "mail": "Um diese E-Mail geht es:",
    "mail.subject": "Betreff: {value}",
    "mail.date": "Gesendet: {value}",
    "mail.release": "Zu senden am: {value}",
    "mail.deadline": "Zuzustellen bis: {value}",
    "note.cut": "Ihre E-Mail ist zu groß, um ganz zurückgesandt zu werden: Nur ihr Anfang, der Kopf, liegt bei.",
    "note.redacted": "Ihre E-Mail sollte nur über gesicherte Verbindungen gehen. Für diese Nachricht gilt das "
    "vielleicht nicht; darum wiederholt sie weder Betreff noch Text Ihrer E-Mail.",
    "closing": "Diese Nachricht hat das Mailsystem {host} geschrieben; Antworten darauf liest niemand. Wenn Sie Hilfe "
    "brauchen, leiten Sie die ganze Nachricht an die Menschen weiter, die Ihre E-Mail betreuen. Der Rest ist für sie.",
    "details": "Technische Einzelheiten",
    "details.expired": "aufgegeben: {date}; was zuletzt geschah:",
    "details.reply": "{host} antwortete auf {command}:",
    "details.reply.plain": "{host} antwortete:",
    "details.fault": "was geschah:",
    "details.fault.host": "versucht bei {host}:",
    "details.nothing": "keine weiteren Einzelheiten",
    "details.a_host": "Das Mailsystem",
    "details.ids": "Unsere Kennung Ihrer E-Mail: {original}\nUnsere Kennung dieser Nachricht: {report}",
    "command.GREETING": "unsere Verbindung",
    "command.CONTENT": "die E-Mail",
    "command.DOT": "das Ende der E-Mail",
    "day": "{weekday}, {day}. {month} {year}, {hour:02}:{minute:02} UTC",
    "weekdays": "Montag Dienstag Mittwoch Donnerstag Freitag Samstag Sonntag",
    "months": "Januar Februar März April Mai Juni Juli August September Oktober November Dezember",
    "days": "{count} Tagen",
    "hours": "{count} Stunden",
    "minutes": "{count} Minuten",
    "seconds": "{count} Sekunden",
    "second": "1 Sekunde",
}

_ASK: Final = "fragen Sie den Empfänger auf anderem Weg, zum Beispiel am Telefon,"
_LOOK: Final = "Prüfen Sie, ob der Teil der Adresse {part} dem @ richtig geschrieben ist. Wenn ja, " + _ASK
_SMALLER: Final = "Senden Sie sie noch einmal mit kleineren Anhängen, oder statt der Dateien einen Link darauf."
_SHOW: Final = "Bitte zeigen Sie diese Nachricht den Menschen, die Ihre E-Mail betreuen."
_SENDER: Final = "Das Mailsystem des Empfängers nimmt Ihre eigene Adresse als Absender nicht an."
_FORGED: Final = "Das Mailsystem des Empfängers konnte nicht feststellen, ob Ihre E-Mail wirklich von Ihnen kommt."
_OTHERWISE: Final = (
    "Senden Sie Ihre E-Mail noch einmal ohne diese Bedingung, oder finden Sie einen sichereren Weg zum Empfänger."
)
_RULE: Final = (
    "Das Mailsystem des Empfängers hat Ihre E-Mail nach einer eigenen Regel abgelehnt. Vielleicht hielt es sie für "
    "Spam, oder es nimmt von Ihnen keine E-Mail an."
)

FAILED: Final = {
    "1": (
        "Mit dieser Adresse stimmt etwas nicht.",
        f"Prüfen Sie, ob sie richtig geschrieben ist. Wenn ja, {_ASK} nach der Adresse.",
    ),
    "1.1": (
        "Diese Adresse gibt es nicht. Das Mailsystem des Empfängers kennt kein Postfach dieses Namens.",
        f"{_LOOK.format(part='vor')} nach der heutigen Adresse.",
    ),
    "1.2": (
        "Für den Teil der Adresse nach dem @ gibt es kein Mailsystem.",
        f"{_LOOK.format(part='nach')} nach der heutigen Adresse.",
    ),
    "1.3": (
        "Das ist keine gültige Mailadresse.",
        "Prüfen Sie, ob sie richtig geschrieben ist, und senden Sie Ihre E-Mail noch einmal.",
    ),
    "1.6": (
        "Der Empfänger ist umgezogen und hat keine neue Adresse hinterlassen.",
        "Fragen Sie ihn auf anderem Weg, zum Beispiel am Telefon, nach der neuen Adresse.",
    ),
    "1.7": (_SENDER, f"Prüfen Sie die Absenderadresse in Ihrem Mailprogramm. {_SHOW}"),
    "1.8": (_SENDER, f"Prüfen Sie die Absenderadresse in Ihrem Mailprogramm. {_SHOW}"),
    "1.10": (
        "Der Teil der Adresse nach dem @ nimmt überhaupt keine E-Mail an.",
        f"{_LOOK.format(part='nach')} nach einer anderen Adresse.",
    ),
    "2": (
        "Das Postfach des Empfängers kann Ihre E-Mail nicht aufnehmen.",
        f"Wenn es eilt, {_ASK} was nicht in Ordnung ist.",
    ),
    "2.1": (
        "Das Postfach des Empfängers ist abgeschaltet.",
        f"Wenn Ihnen die E-Mail wichtig ist, {_ASK} nach einer anderen Adresse.",
    ),
    "2.2": (
        "Das Postfach des Empfängers ist voll.",
        (
            "Senden Sie Ihre E-Mail in ein paar Tagen noch einmal. Wenn es eilt, bitten Sie den Empfänger auf anderem "
            "Weg, zum Beispiel am Telefon, Platz zu schaffen."
        ),
    ),
    "2.3": ("Ihre E-Mail ist größer, als das Postfach des Empfängers erlaubt.", _SMALLER),
    "3": ("Das Mailsystem des Empfängers ist gestört.", "Senden Sie Ihre E-Mail später noch einmal."),
    "3.4": ("Ihre E-Mail ist größer, als das Mailsystem des Empfängers erlaubt.", _SMALLER),
    "4": (
        "Das Mailsystem des Empfängers war nicht zu erreichen.",
        (
            "Prüfen Sie, ob der Teil der Adresse nach dem @ richtig geschrieben ist, oder senden Sie Ihre E-Mail "
            "später noch einmal."
        ),
    ),
    "4.6": ("Ihre E-Mail lief zwischen Mailsystemen im Kreis.", _SHOW),
    "5": ("Das Mailsystem des Empfängers und unseres haben einander nicht verstanden.", _SHOW),
    "5.3": ("Ihre E-Mail hat zu viele Empfänger.", "Senden Sie sie noch einmal, an weniger Empfänger auf einmal."),
    "6": (
        "Das Mailsystem des Empfängers hat Form oder Inhalt Ihrer E-Mail nicht angenommen.",
        "Senden Sie Ihre E-Mail noch einmal als reinen Text oder ohne die Anhänge.",
    ),
    "6.3": (
        (
            "Das Mailsystem des Empfängers nimmt nur einfache Buchstaben an, und Ihre E-Mail lässt sich nicht "
            "umschreiben, ohne dass sie Schaden nimmt."
        ),
        (
            "Senden Sie Ihre E-Mail noch einmal ohne Signatur und Verschlüsselung und ohne Umlaute und andere "
            "besondere Buchstaben."
        ),
    ),
    "6.7": (
        "Die Adresse hat Buchstaben, mit denen das Mailsystem des Empfängers noch nicht umgehen kann.",
        f"Bitte {_ASK} nach einer Adresse ohne Umlaute und andere besondere Buchstaben.",
    ),
    "7.10": (
        "Zum Mailsystem des Empfängers gibt es keine Verbindung, die so sicher ist, wie Ihre E-Mail es verlangt.",
        _OTHERWISE,
    ),
    "7.30": (
        "Das Mailsystem des Empfängers sagt nicht zu, Ihre E-Mail nur über gesicherte Verbindungen weiterzugeben.",
        _OTHERWISE,
    ),
    "7": (
        _RULE,
        (
            "Wenn der Empfänger Ihre E-Mail erwartet, bitten Sie ihn auf anderem Weg, zum Beispiel am Telefon, sie "
            "durchzulassen."
        ),
    ),
    "": (
        "Das Mailsystem des Empfängers hat Ihre E-Mail abgelehnt; was es dazu sagte, steht unten.",
        f"Prüfen Sie, ob die Adresse richtig geschrieben ist. Wenn ja, {_ASK} ob etwas nicht in Ordnung ist.",
    ),
} | dict.fromkeys(
    ("7.20", "7.21", "7.22", "7.23", "7.24", "7.25", "7.26", "7.27"), (_FORGED, f"Selbst nichts. {_SHOW}")
)

FAILED_HERE: Final = {
    "3.4": ("Ihre E-Mail ist zu groß.", _SMALLER),
    "4.7": (
        "Sie war rechtzeitig zuzustellen oder zurückzugeben, und das System des Empfängers sagt das nicht zu.",
        "Senden Sie sie noch einmal ohne die Bedingung, dass sie bis zu einer bestimmten Zeit zuzustellen ist.",
    ),
    "3.0": ("Unser Mailsystem hat sie verloren. Das tut uns leid.", "Senden Sie sie noch einmal."),
    "7.0": ("Jemand, der unser Mailsystem betreut, hat sie angehalten.", _SHOW),
    "7": ("Eine Regel unseres eigenen Mailsystems erlaubt es nicht, an diese Adresse zu senden.", _SHOW),
    "": ("Unser Mailsystem konnte sie nicht senden.", _SHOW),
}

FAILED_SUPPRESSED: Final = (
    (
        "Unser eigenes Mailsystem hat es nicht versucht. Es sendet nichts mehr an diese Adresse, seit eine E-Mail "
        "von dort zurückkam oder jemand sich beschwerte."
    ),
    "Wenn die Adresse richtig ist, bitten Sie die Betreuer Ihrer E-Mail, sie von der Sperrliste zu nehmen.",
)

FAILED_UNSUBSCRIBED: Final = (
    "Der Empfänger hat sich von diesem Verteiler abgemeldet; darum hat unser Mailsystem sie nicht gesendet.",
    "Sie müssen nichts tun. Bitte achten Sie den Wunsch.",
)

FAILED_HELD: Final = ("Unser Mailsystem hat sie zurückgehalten, und niemand hat sie rechtzeitig freigegeben.", _SHOW)

LATER: Final = {
    "2": "Das Postfach des Empfängers konnte sie nicht aufnehmen",
    "2.2": "Das Postfach des Empfängers war voll",
    "3": "Das Mailsystem des Empfängers nahm keine E-Mail an",
    "4": "Das Mailsystem des Empfängers war nicht zu erreichen",
    "4.2": "Die Verbindung zum Mailsystem des Empfängers brach ab",
    "4.3": "Wir konnten nicht herausfinden, welches Mailsystem für den Teil der Adresse nach dem @ zuständig ist",
    "4.7": "Das Mailsystem des Empfängers war nicht zu erreichen",
    "7": "Das Mailsystem des Empfängers wollte, dass wir warten, bevor es E-Mail von Ihnen annimmt",
    "": "Das Mailsystem des Empfängers bat uns, es später noch einmal zu versuchen",
}

LATER_HERE: Final = {
    "3": "Eine Störung bei uns stand im Weg",
    "7": "Es kam keine gesicherte Verbindung zum Mailsystem des Empfängers zustande",
    "": "Das Mailsystem des Empfängers war nicht zu erreichen",
}
