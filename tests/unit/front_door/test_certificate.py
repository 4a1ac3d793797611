"""infra/front_door/certificate.py: what TLS is spoken."""

import ssl

import pytest

from infra.front_door.certificate import make_context, make_self_signed


def shaken(version):
    """Give the version that a client of one version gets; raises as its handshake does."""
    client = ssl.create_default_context()
    client.check_hostname, client.verify_mode = False, ssl.CERT_NONE
    client.set_ciphers("DEFAULT:@SECLEVEL=0")  # else OpenSSL itself knows no old version
    client.minimum_version = client.maximum_version = version
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    server = CONTEXT.wrap_bio(to_server, to_client, server_side=True)
    ends = [client.wrap_bio(to_client, to_server), server]
    for _ in range(4):
        for end in ends:
            try:
                end.do_handshake()
            except ssl.SSLWantReadError:
                continue
    return ends[0].version()


CONTEXT = make_context(None, None, "door.example")
CONTEXT.set_ciphers("DEFAULT:@SECLEVEL=0")


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_tls_1_2_and_above_are_spoken(version):
    """RFC 8314 4.1, RFC 8996."""
    assert shaken(version) == {"TLSv1_2": "TLSv1.2", "TLSv1_3": "TLSv1.3"}[version.name]


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_1])
def test_what_is_older_is_not(version):
    """By our own word, whatever the system's OpenSSL would allow."""
    with pytest.raises(ssl.SSLError):
        shaken(version)
    for context in (CONTEXT, make_context(None, None, "", make_self_signed("door.example").decode())):
        assert context.minimum_version == ssl.TLSVersion.TLSv1_2
