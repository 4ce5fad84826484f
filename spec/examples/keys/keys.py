"""keys.lua in Python."""

import sys

sys.path.insert(0, "examples/clients")
from libperigee import SUCCESS, Perigee  # noqa: E402


def key_of(i):
    return "k" * (i % 70) + ("ü" if i % 3 == 0 else "") + (str(i) if i else "")


perigee = Perigee()
for name in sys.argv[1:]:
    service = perigee.service(name)
    for i in range(1000):
        tried = []
        for _ in range(6):
            tried.append(service.pick(key=key_of(i), port="admin", avoid=tried))
            service.done(tried[-1], SUCCESS, 0)
        print(name, i, " ".join(f"{e.id}:{e.port}" for e in tried), sep="\t")
