"""Do the tests notice faults?  Mutants of the modules that hold formulas and rules.

``python docs/benchmarks/mutants.py [--number N] [--jobs K] [--whole]`` draws 300 or N
mutants of cosmic-ray with a fixed seed, and runs tests on each in a copy of the
project: the files that are about its module and, with ``--whole``, all others if these
pass.  It prints what survives, which is to be read: a mutant may change nothing that
shows.
"""

import argparse
import ast
import functools
import os
import random
import shutil
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import parso.python.tree  # noqa: F401  (before cosmic-ray, which imports it in a circle)
from cosmic_ray.ast import ast_nodes, get_ast_from_path
from cosmic_ray.mutating import mutate_code
from cosmic_ray.plugins import get_operator, operator_names

ROOT = Path(__file__).parents[2]
TESTS = {
    "averaging": "averaging training",
    "contrastive_divergence": "contrastive_divergence training",
    "energy": "energy worked_example",
    "layers": "contrastive_divergence missing training",
    "missing": "missing fuzz",
    "mixing": "tempering",
    "monitoring": "monitoring estimator",
    "operations": "operations energy",
    "parameters": "training worked_example",
    "partition": "metrics",
    "progress": "progress",
    "pseudo_likelihood": "pseudo_likelihood",
    "rows": "inputs weights missing threads",
    "sampling": "sampling",
    "tempering": "tempering",
    "threads": "threads",
    "training": "training averaging weights",
    "_fitting": "estimator progress weights",
    "_hyperparameters": "validation estimator",
    "_measures": "estimator learning tempering",
    "_validation": "validation inputs weights",
    "metrics": "metrics tempering",
}


def positions():
    """Yield (module, operator, occurrence) of every mutant there is."""
    for module in sorted(TESTS):
        (path,) = (ROOT / "skrbm").rglob(f"{module}.py")
        tree = get_ast_from_path(path)
        for name in sorted(operator_names()):
            operator = get_operator(name)
            if operator.arguments():
                continue
            count = sum(
                len(list(operator().mutation_positions(node)))
                for node in ast_nodes(tree)
            )
            for occurrence in range(count):
                yield path, name, occurrence


def tests_pass(copy, files, timeout):
    """Say whether tests pass in a copy of the project."""
    command = [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider"]
    environment = os.environ | {"PYTHONPATH": str(copy), "OMP_NUM_THREADS": "1"}
    try:
        done = subprocess.run(  # noqa: S603
            [*command, *files],
            cwd=copy,
            env=environment,
            capture_output=True,
            timeout=timeout,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return False
    return done.returncode == 0


class WithoutAnnotations(ast.NodeTransformer):
    """Take out of code what it does not run."""

    def visit_arg(self, node):
        node.annotation = None
        return node

    def visit_FunctionDef(self, node):
        node.returns = None
        return self.generic_visit(node)

    def visit_AnnAssign(self, node):
        node.annotation = ast.Constant(None)
        return self.generic_visit(node)


def meaning(code):
    """Return what of the code is run."""
    return ast.dump(WithoutAnnotations().visit(ast.parse(code)))


def verdict(mutant, *, whole):
    """Return "killed", "survived" or "no change" of a mutant, and its line."""
    path, name, occurrence = mutant
    before = path.read_text()
    after = mutate_code(before, get_operator(name)(), occurrence)
    if after is None or meaning(after) == meaning(before):
        return "no change", ""
    pairs = zip(before.splitlines(), after.splitlines(), strict=False)
    line = next((new for old, new in pairs if new != old), "(a line is gone)")
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder)
        for part in ("skrbm", "tests"):
            shutil.copytree(ROOT / part, copy / part)
        shutil.copy(ROOT / "pyproject.toml", copy)
        (copy / path.relative_to(ROOT)).write_text(after)
        files = [f"tests/test_{about}.py" for about in TESTS[path.stem].split()]
        passed = tests_pass(copy, files, 300)
        if passed and whole:
            # Without that of the API page, which is not copied.
            others = ["tests", "--ignore=tests/test_documentation.py"]
            passed = tests_pass(copy, others, 1800)
    return "survived" if passed else "killed", line.strip()


def main():
    """Print what becomes of mutants."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--number", type=int, default=300)
    parser.add_argument("--jobs", type=int, default=os.cpu_count())
    parser.add_argument("--whole", action="store_true")
    arguments = parser.parse_args()
    mutants = list(positions())
    random.Random(0).shuffle(mutants)  # noqa: S311
    counts = dict.fromkeys(("killed", "survived", "no change"), 0)
    with ThreadPoolExecutor(arguments.jobs) as pool:
        run = functools.partial(verdict, whole=arguments.whole)
        mutants = mutants[: arguments.number]
        for mutant, (what, line) in zip(mutants, pool.map(run, mutants), strict=True):
            counts[what] += 1
            if what == "survived":
                path, name, occurrence = mutant
                where = path.relative_to(ROOT)
                print(f"survived: {where}, {name} {occurrence}: {line}", flush=True)
            if sum(counts.values()) % 25 == 0:
                print(counts, flush=True)
    print(counts)


if __name__ == "__main__":
    main()
