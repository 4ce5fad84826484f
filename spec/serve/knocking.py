"""Asks a perigee for picks all the time until SIGTERM: some clients keep their connections for as long as they
may, some open one each time. Says how many answers there were, and what went wrong: nothing may."""
import signal
import socket
import sys
import threading

port, over, lock = int(sys.argv[1]), threading.Event(), threading.Lock()
answers, wrong = 0, []


def read(connection):
    data = b""
    while b"\r\n\r\n" not in data:
        more = connection.recv(65536)
        if not more:
            raise EOFError("closed after %d bytes of an answer" % len(data))
        data += more
    head, _, body = data.partition(b"\r\n\r\n")
    fields = dict(line.lower().split(b": ", 1) for line in head.split(b"\r\n")[1:])
    while len(body) < int(fields[b"content-length"]):
        body += connection.recv(65536)
    return head.split(b" ")[1], fields.get(b"connection") == b"close"


def knock(keeps):
    global answers
    connection = None
    while not over.is_set():
        try:
            connection = connection or socket.create_connection(("127.0.0.1", port), 30)
            connection.sendall(b"GET /v1/pick/web HTTP/1.1\r\nHost: x\r\n" + (b"" if keeps else b"Connection: close\r\n") + b"\r\n")
            status, last = read(connection)
            with lock:
                answers += 1
                if status != b"200":
                    wrong.append(status.decode())
            if last:
                connection.close()
                connection = None
        except (OSError, EOFError) as e:
            connection = None
            with lock:
                wrong.append(repr(e))


signal.signal(signal.SIGTERM, lambda *_: over.set())
threads = [threading.Thread(target=knock, args=(n % 2 == 0,)) for n in range(8)]
for thread in threads:
    thread.start()
over.wait()
for thread in threads:
    thread.join()
print("%d answers, %d wrong %s" % (answers, len(wrong), " ".join(sorted(set(wrong)))))
