"""libperigee by ctypes, for any program; Python's own library is all that it needs.

    web = Perigee().service("web")
    endpoint = web.pick()
    ... a call to endpoint.address, endpoint.port ...
    web.done(endpoint, SUCCESS, seconds)
"""

import ctypes
import errno
import os

# What became of a call: it answered; it answered that it failed; it did not answer in time; nothing was
# sent, because it was not reached; nobody waits for its end any more.
SUCCESS, SERVER_ERROR, TIMEOUT, CONNECT_FAILURE, ABANDONED = range(5)
_TRACK, _RETRY = 1, 8  # perigee_pick's flags


class Endpoint(ctypes.Structure):
    """struct perigee_endpoint of perigee.h: a copy, good for ever. Its `id` is beside it."""

    _fields_ = [
        ("version", ctypes.c_uint64),
        ("slot", ctypes.c_uint32),
        ("slot_generation", ctypes.c_uint32),
        ("port", ctypes.c_uint16),
        ("family", ctypes.c_uint8),
        ("status", ctypes.c_uint8),
        ("weight", ctypes.c_float),
        ("index", ctypes.c_uint32),
        ("address_length", ctypes.c_uint32),
        ("_address", ctypes.c_char * 256),
        ("ticket", ctypes.c_uint32),
    ]

    @property
    def address(self):
        return self._address.decode()


class PickOptions(ctypes.Structure):
    """struct perigee_pick_options."""

    _fields_ = [
        ("size", ctypes.c_uint32),
        ("flags", ctypes.c_uint32),
        ("key", ctypes.c_char_p),
        ("key_length", ctypes.c_size_t),
        ("port", ctypes.c_char_p),
        ("avoid", ctypes.POINTER(Endpoint)),
        ("avoid_count", ctypes.c_size_t),
        ("hash", ctypes.c_uint64),
    ]


def _load():
    library = ctypes.CDLL("libperigee.so.0")
    handle, text, out = ctypes.c_void_p, ctypes.c_char_p, ctypes.c_void_p
    number, size = ctypes.c_int, ctypes.c_size_t
    for name, arguments, result in (
        ("perigee_open", [out, text], number),
        ("perigee_service_open", [handle, text, out], number),
        ("perigee_service_close", [handle], None),
        ("perigee_pick_id", [handle, out, out, out, size], number),
        ("perigee_done", [handle, out, number, ctypes.c_uint64], number),
        ("perigee_version", [handle], ctypes.c_uint64),
        ("perigee_wait", [handle, ctypes.c_uint64, number], number),
        ("perigee_list", [handle, out, number], number),
        ("perigee_endpoint_text", [handle, out, text, out, size], number),
    ):
        function = getattr(library, name)
        function.argtypes, function.restype = arguments, result
    return library


_library = _load()


def _check(r):
    if r < 0:
        raise OSError(-r, os.strerror(-r))
    return r


class Perigee:
    """Follows the agent whose run directory this is; without one, the place where agents usually are.
    Any thread may use it. It stays open for the life of the process: at its end the order of finalizers
    is anyone's guess, and a service must not outlive this."""

    def __init__(self, run_dir=None):
        self._handle = ctypes.c_void_p()
        directory = run_dir and os.fsencode(run_dir)
        _check(_library.perigee_open(ctypes.byref(self._handle), directory))

    def service(self, name):
        """Also for one that is not there yet."""
        return Service(self, name)


class Service:
    """For one thread; open one a thread."""

    def __init__(self, perigee, name):
        self._handle = ctypes.c_void_p()
        self._text = ctypes.create_string_buffer(256)
        _check(
            _library.perigee_service_open(
                perigee._handle, name.encode(), ctypes.byref(self._handle)
            )
        )

    def __del__(self):
        _library.perigee_service_close(self._handle)

    def pick(self, key=None, port=None, avoid=()):
        """An endpoint. key: a text, for balancers that go by one; port: a named port; avoid: endpoints
        that were tried: none of these, as long as there are others, and within the host's budget for
        retries. Raises OSError when there is nothing to pick. Each pick is to be reported."""
        endpoint = Endpoint()
        text = None if key is None else key.encode()
        options = PickOptions(
            size=ctypes.sizeof(PickOptions),
            flags=_RETRY if avoid else _TRACK,
            key=text,
            key_length=len(text or b""),
            port=port and port.encode(),
            avoid=(Endpoint * len(avoid))(*avoid),
            avoid_count=len(avoid),
        )
        _check(
            _library.perigee_pick_id(
                self._handle,
                ctypes.byref(options),
                ctypes.byref(endpoint),
                self._text,
                ctypes.sizeof(self._text),
            )
        )
        endpoint.id = self._text.value.decode()
        return endpoint

    def done(self, endpoint, outcome, seconds):
        """How a call ended, and how long it took."""
        ns = int(seconds * 1e9)
        _check(_library.perigee_done(self._handle, ctypes.byref(endpoint), outcome, ns))

    @property
    def version(self):
        """Moves when its endpoints do; 0: there is no such service."""
        return _library.perigee_version(self._handle)

    def wait(self, version, seconds=-1):
        """Sleeps until the version is another; False: it is still this one after so many seconds (-1:
        for ever)."""
        ms = -1 if seconds < 0 else int(seconds * 1000)
        r = _library.perigee_wait(self._handle, version, ms)
        if r == -errno.ETIMEDOUT:
            return False
        _check(r)
        return True

    def list(self):
        """All endpoints, critical ones too; those that picks choose among come first."""
        room = 0
        while True:
            endpoints = (Endpoint * room)()
            count = _check(_library.perigee_list(self._handle, endpoints, room))
            if count <= room:
                return list(endpoints)[:count]
            room = count

    def text(self, endpoint, what):
        """Its "id", "zone", "tag:0", "meta:KEY" or "port:NAME"; None when it has none, or has left."""
        buffer = ctypes.create_string_buffer(65536)
        r = _library.perigee_endpoint_text(
            self._handle, ctypes.byref(endpoint), what.encode(), buffer, ctypes.sizeof(buffer)
        )
        if r in (-errno.ENOENT, -errno.ESTALE):
            return None
        _check(r)
        return buffer.value.decode()
