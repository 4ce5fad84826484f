#!/usr/bin/python3
"""call.py SERVICE [CALLS-A-SECOND]: calls a service over HTTP, choosing an endpoint for each call by
libperigee, which is called by ctypes. A call that fails is tried again on another endpoint, twice at
most. Python's own library is all that this needs."""

import ctypes
import http.client
import os
import sys
import time

TRIES = 3


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
    ]

    @property
    def address(self):
        return self._address.decode()


class Service:
    """For one thread; open one a thread."""

    def __init__(self, library, perigee, name):
        self._library = library
        self._handle = ctypes.c_void_p()
        self._id = ctypes.create_string_buffer(256)
        check(library.perigee_service_open(perigee, name.encode(), ctypes.byref(self._handle)))

    def pick(self):
        """An endpoint and its id. Raises OSError when there is nothing to pick."""
        endpoint = Endpoint()
        check(
            self._library.perigee_pick_id(
                self._handle, None, ctypes.byref(endpoint), self._id, ctypes.sizeof(self._id)
            )
        )
        return endpoint, self._id.value.decode()


def check(r):
    if r < 0:
        raise OSError(-r, os.strerror(-r))


def open_service(name):
    library = ctypes.CDLL("libperigee.so.0")
    library.perigee_service_open.argtypes = [ctypes.c_void_p, ctypes.c_char_p, ctypes.c_void_p]
    library.perigee_pick_id.argtypes = [ctypes.c_void_p] * 4 + [ctypes.c_size_t]
    perigee = ctypes.c_void_p()
    check(library.perigee_open(ctypes.byref(perigee), None))
    return Service(library, perigee, name)


def get(endpoint):
    connection = http.client.HTTPConnection(endpoint.address, endpoint.port, timeout=1)
    try:
        connection.request("GET", "/")
        status = connection.getresponse().status
        if status != 200:
            raise OSError(f"it said {status}")
    except http.client.HTTPException as problem:
        raise OSError(repr(problem)) from problem
    finally:
        connection.close()


def pick_another(service, tried):
    """Avoids those that were tried, while there are others."""
    endpoint, name = service.pick()
    for _ in range(2 * TRIES):
        if endpoint.slot not in tried:
            break
        endpoint, name = service.pick()
    return endpoint, name


def call(service):
    tried = set()
    for _ in range(TRIES):
        try:
            endpoint, name = pick_another(service, tried)
        except OSError as problem:
            print("nothing", problem, flush=True)
            return
        place = f"{endpoint.address}:{endpoint.port}"
        try:
            get(endpoint)
        except OSError as problem:
            print("failed", place, problem, flush=True)
            tried.add(endpoint.slot)
        else:
            print("ok", place, name, flush=True)
            return


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
