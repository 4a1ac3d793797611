"""
The whole system on one machine, by two engines.

On a data directory, for real:

    embedded.py          all of it, started and stopped
    embedded_processes.py  it in several processes: this one's children (embedded_process.py)
    embedded_link.py     what doors and workers tell each other
    embedded_doors.py    the HTTP doors: services called as they are
    embedded_pressure.py when no more mail is taken
    embedded_workers.py  the queues' workers, the sweep, the expiry

On moto, to prove the wiring of `template.yaml`, with AWS's own semantics around the real handlers:

    template.py      the SAM template, translated and reduced to what moto can create; what is left to us
    aws.py           moto in this process: one lock for each service, call counts, wake-ups
    light_queue.py   moto's queues, without work that grows with their depth
    environments.py  execution environments of functions, one invocation at a time each
    events.py        HTTP requests as API Gateway events, proxy answers as HTTP (pure)
    gateway.py       the HTTP API: routes, limits, integration errors; the local paths
    uploads.py       presigned uploads to the spool
    mappings.py      the event source mappings
    engine.py        all of it, started and stopped

For both:

    inbox.py         the SMTP sink that catches all mail
    web.py           a small HTTP/1.1 server
    pages.py         the inbox and the call counts over HTTP
    front_door.py    the SMTP front door in this process
    listening.py     opening a port that an option chose
    options.py       what `paravion up` can be told

Moto is no place to keep mail: it holds everything in memory.
"""
