"""Python's asyncio.Queue on the same work as the hand-off: JSON in, JSON out. Prints one result as JSON."""

import asyncio
import json
import resource
import sys
import time

count = int(sys.argv[1])
PAYLOAD = {"kind": "order", "customer": "c-1234567890", "note": "x" * 120, "at": 1_700_000_000_000}


async def produce(queue: asyncio.Queue) -> None:
    for n in range(count):
        await queue.put(json.dumps({"n": n, **PAYLOAD}))


async def consume(queue: asyncio.Queue) -> None:
    for _ in range(count):
        json.loads(await queue.get())
        queue.task_done()


async def timed(*works) -> dict:
    cpu, start = time.process_time(), time.perf_counter()
    await asyncio.gather(*works)
    seconds = time.perf_counter() - start
    return {"rate": count / seconds, "cpuUs": (time.process_time() - cpu) / count * 1e6}


async def main() -> None:
    queue: asyncio.Queue = asyncio.Queue()
    result = {"publish": await timed(produce(queue)), "consume": await timed(consume(queue))}
    # Bounded, or the producer would run to its end first.
    queue = asyncio.Queue(256)
    result["through"] = await timed(produce(queue), consume(queue))
    result["peakMb"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(json.dumps(result))


asyncio.run(main())
