"""websockets-peer.py PORT: an echo and broadcast server with Python's websockets, a competitor in the benchmarks.

It is set up to be as fast as the package allows: no compression, no keepalive, one task a connection as the package
has it, and its own `broadcast`. WebSocket connections for /room receive what comes on one for /control; on all others
messages come back.
"""

import asyncio
import resource
import sys

from websockets.asyncio.server import broadcast, serve
from websockets.exceptions import ConnectionClosed

room = set()


async def handle(connection):
    try:
        if connection.request.path == "/room":
            room.add(connection)
            await connection.wait_closed()
        elif connection.request.path == "/control":
            async for message in connection:
                broadcast(room, message)
        else:
            async for message in connection:
                await connection.send(message)
    except ConnectionClosed:
        pass
    finally:
        room.discard(connection)


async def main():
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    options = {"compression": None, "ping_interval": None, "backlog": 4096}
    async with serve(handle, "127.0.0.1", int(sys.argv[1]), **options):
        print("ready", flush=True)
        await asyncio.get_running_loop().create_future()


asyncio.run(main())
