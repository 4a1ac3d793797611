"""
The whole system on one machine: `template.yaml` on moto, with AWS's own semantics around the real handlers.

    template.py      the SAM template, translated and reduced to what moto can create; what is left to us
    aws.py           moto in this process: one lock for each service, call counts, wake-ups
    light_queue.py   moto's queues, without work that grows with their depth
    environments.py  execution environments of functions, one invocation at a time each
    events.py        HTTP requests as API Gateway events, proxy answers as HTTP (pure)
    web.py           a small HTTP/1.1 server
    gateway.py       the HTTP API: routes, limits, integration errors; the local paths
    uploads.py       presigned uploads to the spool
    mappings.py      the event source mappings
    inbox.py         the SMTP sink that catches all mail
    pages.py         the inbox and the call counts over HTTP
    front_door.py    the SMTP front door in this process
    options.py       what `paravion up` can be told
    engine.py        all of it, started and stopped

It proves the wiring. It is no place to keep mail: moto holds everything in memory.
"""
