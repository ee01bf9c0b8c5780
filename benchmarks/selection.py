"""What choosing the next batch costs in a large pool, against what reading the vectors alone would cost.

    python benchmarks/selection.py [--quick] [--items 1000000] [--picks 1000] [--strategies coreset,votek]
                                   [--vectors FILE.npy] [--folder DIR] [--json FILE]

Made-up unit vectors of 384 dimensions (topics of very different sizes, each spread along a few directions of its
own, noise on top) or those of a file lie memory-mapped on disk. For each strategy: seconds for the batch, on the
clock and of the processor (all threads together; on a busy machine that says more), seconds for the next batch with
the state of the first, peak memory, and the memory-bandwidth floor, measured in the same run: what a greedy choice
costs at least that reads all vectors (float32) once for every pick, as the textbook form of core-set does. Core-set
computes fewer distances than that form, so it can be below the floor. Vote-k's graph is bound by arithmetic: for it the
floor is the products of vectors that it computed, at the speed of a large float32 matrix product measured in the same
run, in seconds of the processor, so that what else the machine does weighs on neither.
"""

from __future__ import annotations

import argparse
import json
import resource
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from tools.selection import Pool, SelectionOptions, SelectionState, select

DIMENSIONS = 384
BLOCK = 20_000


def vectors(path: Path, items: int, seed: int = 0) -> None:
    """Write made-up unit vectors, float32, block by block."""
    rng = np.random.default_rng(seed)
    topics = max(10, items // 500)
    sizes = 1.0 / np.arange(1, topics + 1) ** 0.7
    centres = rng.normal(size=(topics, DIMENSIONS)).astype(np.float32)
    # Topics are not equally far apart: there are fields that share half of their direction.
    centres += rng.normal(size=(50, DIMENSIONS)).astype(np.float32)[rng.integers(0, 50, topics)]
    directions = rng.normal(size=(topics, 6, DIMENSIONS)).astype(np.float32)
    out = np.lib.format.open_memmap(path, mode="w+", dtype=np.float32, shape=(items, DIMENSIONS))  # type: ignore[no-untyped-call]
    for begin in range(0, items, BLOCK):
        count = min(BLOCK, items - begin)
        topic = rng.choice(topics, count, p=sizes / sizes.sum())
        spread = rng.normal(size=(count, 6)).astype(np.float32)
        block = centres[topic] + np.einsum("ij,ijk->ik", spread, directions[topic]) * 0.5
        block += 0.6 * rng.normal(size=(count, DIMENSIONS)).astype(np.float32)
        out[begin : begin + count] = block / np.linalg.norm(block, axis=1, keepdims=True)
    out.flush()


def bandwidth(megabytes: int) -> float:
    """Bytes a second that can be read from memory on all cores: the best of five sums over a large array."""
    import torch

    data = torch.ones(megabytes * 2**18, dtype=torch.float32)
    times = []
    for _ in range(5):
        started = time.perf_counter()
        data.sum()
        times.append(time.perf_counter() - started)
    return data.numel() * 4 / min(times)


def product_speed() -> float:
    """Floating-point operations a second of one processor in a large float32 matrix product: the best of five."""
    from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

    left, right = np.ones((2048, DIMENSIONS), np.float32), np.ones((DIMENSIONS, 8192), np.float32)
    times = []
    with threadpool_limits(1, user_api="blas"):
        for _ in range(5):
            started = time.thread_time()
            left @ right
            times.append(time.thread_time() - started)
    return 2 * left.size * 8192 / min(times)


def measure(name: str, pool: Pool, picks: int, folder: Path) -> dict[str, Any]:
    """Two batches by one strategy, the second with what the first left behind."""
    state = SelectionState(folder)
    options = SelectionOptions(audit=0.1)
    started, working = time.perf_counter(), time.process_time()
    first = select(name, pool, picks, np.random.default_rng(1), options=options, state=state)
    took = time.perf_counter() - started
    spent = time.process_time() - working
    figures: dict[str, Any] = {
        "first_batch_s": took,
        "first_batch_cpu_s": spent,
        "picks": len(first.picks),
        "notes": list(first.notes),
    }
    core = state.core.get("embedding")
    if core is not None:
        figures["distances"] = core.compared
        figures["share_of_distances"] = core.compared / (len(pool) * max(1, len(core.centres)))
    figures["products"] = sum(graph.compared for graph in state.graphs.values())
    more = Pool(pool.ids, embeddings=pool.embeddings, labelled=[pick.row for pick in first.picks])
    started = time.perf_counter()
    second = select(name, more, max(1, picks // 10), np.random.default_rng(2), options=options, state=state)
    figures["next_batch_s"] = time.perf_counter() - started
    figures["next_picks"] = len(second.picks)
    if core is not None:
        figures["next_distances"] = core.compared - figures["distances"]
    figures["peak_memory_gb"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    return figures


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="20,000 items and 200 picks")
    parser.add_argument("--items", type=int, default=1_000_000)
    parser.add_argument("--picks", type=int, default=1_000)
    parser.add_argument("--strategies", default="coreset,votek")
    parser.add_argument("--vectors", type=Path, help="a .npy file of float32 vectors instead of made-up ones")
    parser.add_argument("--folder", type=Path, help="where to put files; a temporary folder by default")
    parser.add_argument("--json", type=Path, help="also write the figures here")
    options = parser.parse_args()
    items, picks = (20_000, 200) if options.quick else (options.items, options.picks)
    with tempfile.TemporaryDirectory(dir=options.folder) as place:
        path = options.vectors or Path(place) / "vectors.npy"
        if options.vectors is None:
            vectors(path, items)
        data = np.load(path, mmap_mode="r")
        items = len(data)
        pool = Pool([str(row) for row in range(items)], embeddings=data)
        reading = bandwidth(64 if options.quick else 1024)
        figures: dict[str, Any] = {
            "items": items,
            "dimensions": data.shape[1],
            "picks": picks,
            "bandwidth_gb_s": reading / 1e9,
            "product_gflops": (speed := product_speed()) / 1e9,
            "floor_s": picks * items * data.shape[1] * 4 / reading,
            "strategies": {},
        }
        for name in options.strategies.split(","):
            found = measure(name, pool, picks, Path(place) / name)
            found["against_floor"] = found["first_batch_s"] / figures["floor_s"]
            arithmetic = ""
            if found["products"]:
                found["arithmetic_floor_cpu_s"] = 2 * found["products"] * data.shape[1] / speed
                found["against_arithmetic"] = found["first_batch_cpu_s"] / found["arithmetic_floor_cpu_s"]
                arithmetic = (
                    f", {found['against_arithmetic']:.2f} of the {found['arithmetic_floor_cpu_s']:.1f} s of processor"
                    f" that its products of vectors take at {speed / 1e9:.0f} GFLOP/s"
                )
            figures["strategies"][name] = found
            print(
                f"{name}: {picks:,} of {items:,} in {found['first_batch_s']:.1f} s,"
                f" {found['first_batch_cpu_s']:.1f} s of processor"
                f" ({found['against_floor']:.2f} of the floor of {figures['floor_s']:.1f} s at"
                f" {figures['bandwidth_gb_s']:.1f} GB/s{arithmetic}), next {found['next_picks']:,}"
                f" in {found['next_batch_s']:.1f} s, peak {found['peak_memory_gb']:.1f} GB",
                flush=True,
            )
    if options.json:
        options.json.write_text(json.dumps(figures, indent=2) + "\n", encoding="utf-8")
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
