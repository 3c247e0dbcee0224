"""An image from the web: as many bytes and as long as an image takes, and from no address of an inner network."""

import contextlib
import http.client
import ipaddress
import socket
import ssl
import threading
import time
from urllib.parse import quote, urljoin, urlsplit

from clicv2_keras.utils.images import UnreadableImage
from clicv2_keras.utils.version import __version__

MOST_BYTES = 64 * 2**20
# Of one URL in all, its redirects among them.
SECONDS = 30.0
REDIRECTS = 5
_HEADERS = {"User-Agent": f"clicv2-keras/{__version__}", "Accept": "image/*"}
_MOVED = (301, 302, 303, 307, 308)


def is_url(name):
    """Whether a name is an address of the web and no path."""
    return isinstance(name, str) and name.lower().startswith(("http://", "https://"))


def fetch(url, allow_private=False):
    """The bytes behind a URL.

    The address that a name stands for is looked up once, judged, and is the one that is connected to; of every redirect
    again. Proxies, which would look names up themselves, are not used.

    Args:
        url: http or https.
        allow_private: also from addresses that are not of the public internet: loopback, link-local, private.

    Returns:
        bytes, 64 MB at most.

    Raises:
        UnreadableImage: one line, where it cannot be had within 30 seconds, is too large, moved more than 5 times, or
            its address is not public.
    """
    end = time.monotonic() + SECONDS
    try:
        for _ in range(REDIRECTS + 1):
            moved, data = _get(url, end, allow_private)
            if moved is None:
                return data
            url = urljoin(url, moved)
            if not is_url(url):
                raise UnreadableImage("it leads away from http and https")
    except UnreadableImage:
        raise
    except TimeoutError:
        raise UnreadableImage(f"it took longer than {SECONDS:.0f} seconds") from None
    except (OSError, ValueError, http.client.HTTPException) as error:
        if time.monotonic() >= end:
            raise UnreadableImage(f"it took longer than {SECONDS:.0f} seconds") from None
        reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
        raise UnreadableImage(f"cannot be fetched: {' '.join(str(reason).split())[:200]}") from None
    raise UnreadableImage(f"it was moved more than {REDIRECTS} times")


def _get(url, end, allow_private):
    """Where the URL has moved to, or None; and else its bytes."""
    parts = urlsplit(url)
    if not parts.hostname:
        raise UnreadableImage("this URL names no host")
    host = parts.hostname if parts.hostname.isascii() else parts.hostname.encode("idna").decode()
    secure = parts.scheme.lower() == "https"
    port = parts.port or (443 if secure else 80)
    path = quote(parts.path or "/", safe="/%:@!$&'()*+,;=~-._")
    query = f"?{quote(parts.query, safe='/%:@!$&()*+,;=~-._?')}" if parts.query else ""
    with _Connection(host, port, end, allow_private) as connection:
        if secure:
            connection.encrypt()
        connection.request("GET", path + query, headers=_HEADERS)
        with connection.getresponse() as answer:
            if answer.status in _MOVED and answer.headers["Location"]:
                return _text(answer.headers["Location"]), None
            if answer.status != http.HTTPStatus.OK:
                raise UnreadableImage(f"the server answers {answer.status} {answer.reason}"[:200])
            body = _body(answer)
    # Of one that was shut in the midst an end without a length looks whole.
    if time.monotonic() >= end:
        raise TimeoutError
    return None, body


def _text(header):
    """A header as its server meant it: UTF-8, which is read as Latin-1."""
    try:
        return header.encode("latin-1").decode()
    except UnicodeError:
        return header


def _body(answer):
    """The whole body, which may say its length, and may lie about it."""
    if answer.length is not None and answer.length > MOST_BYTES:
        raise UnreadableImage(f"{answer.length:,} bytes are too many: at most {MOST_BYTES // 2**20} MB")
    data = answer.read(MOST_BYTES + 1)
    if len(data) > MOST_BYTES:
        raise UnreadableImage(f"it is larger than {MOST_BYTES // 2**20} MB")
    if answer.length:
        raise UnreadableImage("it was cut off")
    return data


class _Connection(http.client.HTTPConnection):
    """A connection to an address that was judged, shut at the time `end`, whatever is being waited for then."""

    def __init__(self, host, port, end, allow_private):
        super().__init__(host, port)
        addresses = _addresses(host, port, allow_private)
        for number, address in enumerate(addresses):
            left = end - time.monotonic()
            if left <= 0:
                raise TimeoutError
            try:
                # Some networks lose whatever is of one kind of address: the others have a share of the time each.
                share = left / (len(addresses) - number)
                self.sock = socket.create_connection((address, port), timeout=share)
                self.sock.settimeout(left)
                break
            except OSError:
                if address == addresses[-1]:
                    raise
        # `sock` is let go of as soon as the answer begins.
        self._shared = self.sock
        self._alarm = threading.Timer(max(end - time.monotonic(), 0), self._shut)
        self._alarm.daemon = True

    def __enter__(self):
        self._alarm.start()
        return self

    def __exit__(self, *_):
        self._alarm.cancel()
        self.close()

    def encrypt(self):
        context = ssl.create_default_context()
        self.sock = context.wrap_socket(self.sock, server_hostname=self.host, do_handshake_on_connect=False)
        self._shared = self.sock
        self.sock.do_handshake()

    def _shut(self):
        with contextlib.suppress(OSError):  # it may be closed by now
            self._shared.shutdown(socket.SHUT_RDWR)


def _addresses(host, port, allow_private):
    """The addresses of a host.

    Raises:
        UnreadableImage: where one of them is not public, unless that is allowed.
    """
    found = list(dict.fromkeys(info[4][0] for info in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)))
    for address in found:
        if not allow_private and not is_public(address):
            raise UnreadableImage(
                f"{host} is {address}, no address of the public internet; --allow-private-urls reads it"
            )
    return found


def is_public(address):
    """Whether an IP address is one of the public internet, and so is the IPv4 address that an IPv6 one may carry."""
    ip = ipaddress.ip_address(address.partition("%")[0])
    if ip.version == 4:
        return ip.is_global and not ip.is_multicast
    if ip.ipv4_mapped:
        return is_public(str(ip.ipv4_mapped))
    if ip.is_site_local or ip in _LOCAL_NAT64:
        return False
    carried = [each for each in (ip.sixtofour, *(ip.teredo or ())) if each]
    if ip in _NAT64:
        carried.append(ipaddress.IPv4Address(int(ip) & 0xFFFFFFFF))
    return ip.is_global and not ip.is_multicast and all(is_public(str(each)) for each in carried)


_NAT64, _LOCAL_NAT64 = ipaddress.ip_network("64:ff9b::/96"), ipaddress.ip_network("64:ff9b:1::/48")
