"""How fast a running server answers: `sextant serve --port 8765`, then `python benchmarks/web.py [ADDRESS] [--idle N]`.

Warm searches, sixty small copies, a mix of readings by eight clients, a column that is tried, and idle connections.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import resource
import time
from typing import Any

import httpx

WORDS = (
    "rocket",
    "moon",
    "earth",
    "astronaut",
    "station",
    "flag",
    "ocean",
    "launch",
    "stars",
    "rover",
    "window",
    "sun",
)


async def timed(client: httpx.AsyncClient, address: str, **params: Any) -> tuple[float, httpx.Response]:
    started = time.perf_counter()
    answer = await client.get(address, params=params)
    answer.raise_for_status()
    return time.perf_counter() - started, answer


async def searches(client: httpx.AsyncClient, n: int, *, fold: bool) -> str:
    for _ in range(3):
        await timed(client, "/search", q="a moon", fold=fold)
    draws = random.Random(0)
    asked = [f"a {draws.choice(WORDS)} and a {draws.choice(WORDS)} {k}" for k in range(n)]
    times = sorted([(await timed(client, "/search", q=q, limit=60, fold=fold))[0] for q in asked])
    return (
        f"search, every one new, fold={fold}: p50 {1e3 * times[n // 2]:.0f} ms, p99 {1e3 * times[int(0.99 * n)]:.0f} ms"
    )


async def thumbs(client: httpx.AsyncClient, ids: list[str]) -> str:
    found = [await timed(client, f"/images/{image}/thumb") for image in ids]
    sizes = [len(answer.content) for _, answer in found]
    return (
        f"{len(ids)} small copies: {sum(sizes):,} bytes, the largest {max(sizes):,}, {sum(t for t, _ in found):.2f} s"
    )


async def mix(client: httpx.AsyncClient, ids: list[str], clients: int = 8, each: int = 100) -> str:
    draws = random.Random(0)

    async def work() -> None:
        for _ in range(each):
            kind = draws.random()
            if kind < 0.5:
                await timed(client, f"/images/{draws.choice(ids)}/thumb")
            elif kind < 0.7:
                await timed(client, "/search", q=f"a {draws.choice(WORDS)}")
            elif kind < 0.9:
                await timed(client, "/images", limit=60, offset=draws.randrange(500))
            else:
                await timed(client, "/facets")

    started = time.perf_counter()
    await asyncio.gather(*(work() for _ in range(clients)))
    seconds = time.perf_counter() - started
    return f"a mix of readings, {clients} clients: {clients * each / seconds:.0f} requests a second"


async def previews(client: httpx.AsyncClient) -> str:
    times = []
    for word in WORDS:
        started = time.perf_counter()
        (await client.post("/vocabulary/preview", json={"description": f"{word} in the snow"})).raise_for_status()
        times.append(time.perf_counter() - started)
    return f"a column tried: at most {1e3 * max(times):.0f} ms"


async def idle(client: httpx.AsyncClient, host: str, port: int, n: int) -> str:
    resource.setrlimit(resource.RLIMIT_NOFILE, (resource.getrlimit(resource.RLIMIT_NOFILE)[1],) * 2)
    held: list[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = []
    for start in range(0, n, 500):
        several = (asyncio.open_connection(host, port) for _ in range(min(500, n - start)))
        held += await asyncio.gather(*several)
    times = sorted([(await timed(client, "/search", q="moon"))[0] for _ in range(20)])
    await asyncio.sleep(18)
    closed = sum(reader.at_eof() for reader, _ in held)
    return f"{n:,} idle connections: a search takes {1e3 * times[10]:.0f} ms; {closed:,} of them closed after 18 s"


async def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("address", nargs="?", default="http://127.0.0.1:8765")
    parser.add_argument("--idle", type=int, default=0)
    options = parser.parse_args()
    root = options.address.rstrip("/")
    name = httpx.get(f"{root}/api/v1/collections").json()[0]["name"]
    async with httpx.AsyncClient(base_url=f"{root}/api/v1/collections/{name}", timeout=60) as client:
        ids = [image["id"] for image in (await timed(client, "/images", limit=60))[1].json()["images"]]
        for fold in (False, True):
            print(await searches(client, 100, fold=fold))
        for _ in range(2):
            print(await thumbs(client, ids))
        print(await mix(client, ids))
        print(await previews(client))
        if options.idle:
            address = httpx.URL(root)
            print(await idle(client, address.host, address.port or 80, options.idle))


if __name__ == "__main__":
    asyncio.run(main())
