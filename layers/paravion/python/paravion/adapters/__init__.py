"""One module per outside thing: the only places that know AWS, DNS or sockets."""
