#!/usr/bin/python3
"""call.py SERVICE [CALLS-A-SECOND]: calls a service over HTTP, choosing an endpoint for each try by
libperigee, which is called by ctypes and told how it went. A call that fails is tried again on
another endpoint, twice at most. Python's own library is all that this needs."""

import ctypes
import http.client
import os
import sys
import time

TRIES = 3
SUCCESS, SERVER_ERROR, TIMEOUT, CONNECT_FAILURE = range(4)  # perigee_done's
TRACK, RETRY = 1, 8  # perigee_pick's flags


class Endpoint(ctypes.Structure):
    """struct perigee_endpoint of perigee.h: a copy, good for ever."""

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


class Service:
    """For one thread; open one a thread."""

    def __init__(self, library, perigee, name):
        self._library = library
        self._handle = ctypes.c_void_p()
        self._id = ctypes.create_string_buffer(256)
        check(library.perigee_service_open(perigee, name.encode(), ctypes.byref(self._handle)))

    def pick(self, tried=()):
        """An endpoint and its id; none of those that were tried, as long as there are others.
        Raises OSError when there is nothing to pick. Each pick is to be reported."""
        endpoint = Endpoint()
        options = PickOptions(
            size=ctypes.sizeof(PickOptions),
            flags=RETRY if tried else TRACK,
            avoid=(Endpoint * len(tried))(*tried),
            avoid_count=len(tried),
        )
        check(
            self._library.perigee_pick_id(
                self._handle,
                ctypes.byref(options),
                ctypes.byref(endpoint),
                self._id,
                ctypes.sizeof(self._id),
            )
        )
        return endpoint, self._id.value.decode()

    def done(self, endpoint, outcome, seconds):
        """How a call ended, and how long it took."""
        self._library.perigee_done(
            self._handle, ctypes.byref(endpoint), outcome, int(seconds * 1e9)
        )


def check(r):
    if r < 0:
        raise OSError(-r, os.strerror(-r))


def open_service(name):
    library = ctypes.CDLL("libperigee.so.0")
    library.perigee_service_open.argtypes = [ctypes.c_void_p, ctypes.c_char_p, ctypes.c_void_p]
    library.perigee_pick_id.argtypes = [ctypes.c_void_p] * 4 + [ctypes.c_size_t]
    library.perigee_done.argtypes = [ctypes.c_void_p] * 2 + [ctypes.c_int, ctypes.c_uint64]
    perigee = ctypes.c_void_p()
    check(library.perigee_open(ctypes.byref(perigee), None))
    return Service(library, perigee, name)


def get(endpoint):
    """What became of one GET. Only what was never sent is a connect failure."""
    connection = http.client.HTTPConnection(endpoint.address, endpoint.port, timeout=1)
    try:
        connection.connect()
    except OSError:
        return CONNECT_FAILURE
    try:
        connection.request("GET", "/")
        return SUCCESS if connection.getresponse().status == 200 else SERVER_ERROR
    except TimeoutError:
        return TIMEOUT
    except (OSError, http.client.HTTPException):
        return SERVER_ERROR
    finally:
        connection.close()


def call(service):
    tried = []
    for _ in range(TRIES):
        try:
            endpoint, name = service.pick(tried)
        except OSError as problem:
            print("nothing", problem, flush=True)
            return
        place = f"{endpoint.address}:{endpoint.port}"
        begun = time.monotonic()
        outcome = get(endpoint)
        service.done(endpoint, outcome, time.monotonic() - begun)
        if outcome == SUCCESS:
            print("ok", place, name, flush=True)
            return
        why = ["", "it answered with an error", "no answer in time", "not reached"][outcome]
        print("failed", place, why, flush=True)
        tried.append(endpoint)


def main(arguments):
    try:
        name, rate = arguments[0], float(arguments[1] if len(arguments) > 1 else 10)
    except (IndexError, ValueError):
        name, rate = "", 0
    if not 0.1 <= rate <= 1000 or len(arguments) > 2:
        sys.exit("usage: call.py SERVICE [CALLS-A-SECOND]")
    service = open_service(name)
    while True:
        call(service)
        time.sleep(1 / rate)


if __name__ == "__main__":
    main(sys.argv[1:])
