r"""Speed of training compared with two peers that stand on PyTorch, as ratios.

Install PyTorch, in its build for the CPU, and the peers, at the commits measured.
Without ``--no-deps`` the first asks for an older PyTorch, and the second for packages
that its other models need::

    pip install torch h5py matplotlib tqdm
    pip install --no-deps \
        git+https://github.com/DsysDML/rbms@0b1dc6de10408ef788fee83d68779d668397d749 \
        git+https://github.com/gugarosa/learnergy@5ae666d5d2f433f5128aa6eca901249a0190d05d

Then run ``python docs/benchmarks/torch_peers.py`` for all of it (about five minutes),
or name the parts, ``one`` thread or ``every`` thread.

Every contender runs one epoch of CD-1 on the same dense rows, in float32:

- "rbms": its functions, called as by its training code, but with chains that start at
  the mini-batch.  It has no CD of its own.  Its sampler draws the hidden units of the
  mini-batch again, so that an update takes six matrix products.
- "rbms, five products": the same without drawing them again, as CD-1 needs it.
- "learnergy's updates": what its fit does to train on a mini-batch.  Seven products,
  for the hidden layers are computed again to be differentiated.
- "learnergy's fit": its own, which also collects every mini-batch row by row, and
  estimates errors and pseudo-likelihoods (two products more).

All but the last get their mini-batches ready made, in the order of the rows.  Ours, in
five products, shuffles and gathers its own, and centres, averages and makes sparse, as
by default.

Use an idle machine: where another process needs a processor, or the kernel puts two of
PyTorch's threads on one, they wait for each other busily, and its updates can take a
hundred times as long for the rest of the process.  A ratio much larger on all threads
than on one shows that, and says nothing; start again.
"""

from __future__ import annotations

import logging
import os
import warnings
from collections.abc import Callable
from importlib import metadata

import torch
from learnergy.models.bernoulli import rbm as learnergy_rbm
from rbms.bernoulli_bernoulli.classes import BBRBM
from speed import (
    N_COMPONENTS,
    N_FEATURES,
    N_ROWS,
    binary,
    interleaved,
    ours,
    report,
    run_parts,
    timed,
)
from threadpoolctl import threadpool_limits
from torch import Tensor

BATCH_SIZES = (10, 32, 100, 256)


def rbms_model(n_features=N_FEATURES, n_components=N_COMPONENTS, *, redraw=True):
    """Return a model of rbms, and its update on one mini-batch."""
    model = BBRBM(
        weight_matrix=0.01 * torch.randn(n_features, n_components),
        vbias=torch.zeros(n_features),
        hbias=torch.zeros(n_components),
    )
    for parameter in model.parameters():
        parameter.grad = torch.zeros_like(parameter)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01, maximize=True)

    @torch.no_grad()
    def update(v: Tensor) -> None:
        optimizer.zero_grad(set_to_none=False)
        data = model.init_chains(num_samples=len(v), start_v=v)
        if redraw:
            chains = model.sample_state(chains=data, n_steps=1)
        else:
            chains = model.sample_hiddens(model.sample_visibles(dict(data)))
        model.compute_gradient(data=data, chains=chains, centered=True)
        optimizer.step()

    return model, update


def learnergy_model(n_features=N_FEATURES, n_components=N_COMPONENTS):
    """Return a model of learnergy, and its update on one mini-batch."""
    model = learnergy_rbm.RBM(n_features, n_components, steps=1)

    def update(v: Tensor) -> None:
        reconstruction = model.gibbs_sampling(v)[-1].detach()
        cost = model.energy(v).mean() - model.energy(reconstruction).mean()
        model.optimizer.zero_grad()
        cost.backward()
        model.optimizer.step()

    return model, update


def updates(X, batch_size, build, **options) -> Callable[[], float]:
    """Return a measurement of one epoch of updates of a new model of a peer."""
    batches = torch.from_numpy(X).split(batch_size)

    def measure() -> float:
        _, update = build(**options)

        def epoch() -> None:
            for batch in batches:
                update(batch)

        return timed(epoch)

    return measure


def learnergy_fit(X, batch_size) -> Callable[[], float]:
    """Return a measurement of learnergy's own fit of one epoch."""
    no_labels = torch.zeros(len(X))
    dataset = torch.utils.data.TensorDataset(torch.from_numpy(X), no_labels)

    def measure() -> float:
        model, _ = learnergy_model()
        return timed(lambda: model.fit(dataset, batch_size=batch_size, epochs=1))

    return measure


def compare(limit: str, **options) -> None:
    """Compare an epoch of every peer with one of ours, which takes the options."""
    X = binary(N_ROWS)
    for batch_size in BATCH_SIZES:
        t = interleaved(
            {
                "ours": ours(X, batch_size, **options),
                "rbms": updates(X, batch_size, rbms_model),
                "rbms, five products": updates(X, batch_size, rbms_model, redraw=False),
                "learnergy's updates": updates(X, batch_size, learnergy_model),
                "learnergy's fit": learnergy_fit(X, batch_size),
            }
        )
        for peer in list(t)[1:]:
            what = f"{peer} / ours, batches of {batch_size}, {limit}"
            report(what, t[peer], t["ours"])


def one() -> None:
    """Compare on one thread."""
    with threadpool_limits(1):
        # PyTorch's matrix products have threads that threadpoolctl does not see.
        torch.set_num_threads(1)
        compare("one thread", n_jobs=1)


def every() -> None:
    """Compare on all threads."""
    torch.set_num_threads(os.cpu_count())
    compare("all threads")


PARTS = {f.__name__: f for f in (one, every)}


def release(package: str) -> str:
    """Return the version of a package, where it is installed and not just found."""
    try:
        return f"{package} {metadata.version(package)}"
    except metadata.PackageNotFoundError:
        return f"{package} (not installed, version unknown)"


def silence() -> None:
    """Keep learnergy from logging, to files too, and from showing its progress."""
    logging.disable(logging.INFO)
    learnergy_rbm.tqdm = iter
    warnings.filterwarnings("ignore", "torch.set_default_tensor_type", UserWarning)


if __name__ == "__main__":
    silence()
    run_parts(
        __doc__,
        f"{release('rbms')}, {release('learnergy')}, torch {torch.__version__} "
        f"(MKL: {torch.backends.mkl.is_available()}); float32; ",
        PARTS,
    )
