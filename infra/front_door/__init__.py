"""
The SMTP front door: a mail client's SMTP on one side, the native HTTP API on the other.

    settings.py     what it is told
    server.py       FrontDoor: listeners, limits, a stop that drains
    connection.py   one connection: a session on a transport, and its time
    session.py      the dialogue, without I/O: the commands of RFC 5321 and its extensions
    machine.py      what every dialogue of lines has: input, output, effects
    effects.py      what a session asks for: check, submit, TLS
    commands.py     the arguments of MAIL, RCPT and BDAT
    sasl.py         the dialogue of AUTH
    content.py      DATA and BDAT: where a message ends, what is refused
    parts.py        a large message, put in parts while it comes in
    booking.py      the memory that contents take together
    throttle.py     who guesses passwords waits
    proxy_protocol.py, health.py    for load balancers
    replies.py      the dialogue's own replies
    api.py          the native API, asynchronously
    credentials.py  AUTH, asked of the API and remembered for a minute
    certificate.py  a self-signed certificate for who has none
    command.py      `paravion smtpd` and `python -m infra.front_door`

It keeps no state and holds no secret but its TLS key: what it answers 250 to, the API has committed.
"""
