"""Encodings of many moments of one recording, read along it rather than each from a window of its own."""

import torch
from torch import Tensor

from careplan.world.corpus import Corpus
from careplan.world.model import WorldModel


@torch.no_grad()
def encoded_along(model: WorldModel, corpus: Corpus, patient: int, rows: Tensor) -> Tensor:
    """The encoding of the present before each row `[R]` of a patient of the corpus, `[R, L]`.

    A window ends at each row; here what it shares with its neighbours is read once. The encoder begins between one and two
    memories before a row, where a window begins one before it, and so remembers a little more.
    """
    if not len(rows):
        return torch.zeros(0, model.shape.latent, device=model.center.device)
    patch, memory = model.shape.patch, model.shape.memory
    phase, patches = rows % patch, rows // patch  # patches that end at the row at the latest
    per_block = memory // patch
    block = torch.div(patches - 1, per_block, rounding_mode="floor")
    found, which = torch.stack([phase, block], 1).unique(dim=0, return_inverse=True)
    who = torch.full((len(found),), patient)
    window = corpus.windows(who, found[:, 0] + (found[:, 1] - 1) * memory, 2 * memory).to(model.center.device)
    usual = corpus.usual[who].to(model.center.device)
    stretches = model.encoder(model.received.scaled(window, usual, model.center, model.scale), window)
    return stretches[which, (patches - 1 - (block - 1) * per_block)]
