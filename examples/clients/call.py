#!/usr/bin/python3
"""call.py SERVICE [CALLS-A-SECOND]: calls a service over HTTP, choosing an endpoint for each try by
libperigee, which is told how it went. A call that fails is tried again on another endpoint, twice at
most."""

import http.client
import sys
import time

from libperigee import CONNECT_FAILURE, SERVER_ERROR, SUCCESS, TIMEOUT, Perigee

TRIES = 3


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
            endpoint = service.pick(avoid=tried)
        except OSError as problem:
            print("nothing", problem, flush=True)
            return
        place = f"{endpoint.address}:{endpoint.port}"
        begun = time.monotonic()
        outcome = get(endpoint)
        service.done(endpoint, outcome, time.monotonic() - begun)
        if outcome == SUCCESS:
            print("ok", place, endpoint.id, flush=True)
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
    service = Perigee().service(name)
    while True:
        call(service)
        time.sleep(1 / rate)


if __name__ == "__main__":
    main(sys.argv[1:])
