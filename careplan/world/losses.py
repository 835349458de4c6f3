"""The losses, each on one screen."""

import torch
from torch import Tensor
from torch.nn import functional as F

from careplan.world.heads import QUANTILES


def latent_prediction(predicted: Tensor, encoded: Tensor) -> Tensor:
    """Mean squared distance between the predicted and the actual encoding of the future, `[B, H, L]` each."""
    return F.mse_loss(predicted, encoded)


def sigreg(z: Tensor, generator: torch.Generator, *, projections: int = 256, knots: int = 17) -> Tensor:
    """Sketched isotropic Gaussian regularisation (LeJEPA, Balestriero & LeCun 2025), `[N, L]` -> `[]`.

    The Epps-Pulley statistic: along random directions, the empirical characteristic function against the normal's.
    """
    directions = torch.randn(z.shape[-1], projections, generator=generator, device=z.device, dtype=z.dtype)
    projected = z @ F.normalize(directions, dim=0)  # [N, projections]
    t = torch.linspace(0.2, 4.0, knots, device=z.device, dtype=z.dtype)
    angle = projected.unsqueeze(-1) * t  # [N, projections, knots]
    target = torch.exp(-0.5 * t**2)
    error = (angle.cos().mean(0) - target) ** 2 + angle.sin().mean(0) ** 2
    return torch.trapezoid(error * target, t, dim=-1).mean() * len(z)


def vicreg(z: Tensor) -> Tensor:
    """Variance and covariance terms (Bardes 2022), `[N, L]` -> `[]`: each number varies, no two say the same."""
    z = z - z.mean(0)
    deviation = torch.sqrt(z.var(0) + 1e-4)
    covariance = (z.T @ z) / (len(z) - 1)
    off = covariance - torch.diag(torch.diag(covariance))
    return F.relu(1 - deviation).mean() + off.pow(2).sum() / z.shape[-1]


def masked_mean(values: Tensor, mask: Tensor) -> Tensor:
    """Mean of `values` where `mask`, same shape; 0 where nothing is."""
    weight = mask.to(values.dtype)
    return (values * weight).sum() / weight.sum().clamp(min=1.0)


def pinball(offsets: Tensor, residual: Tensor, mask: Tensor) -> Tensor:
    """Quantile loss of offsets `[..., 4]` against residuals `[...]` where `mask`."""
    quantiles = torch.tensor(QUANTILES, device=offsets.device, dtype=offsets.dtype)
    error = residual.unsqueeze(-1) - offsets
    return masked_mean(torch.maximum(quantiles * error, (quantiles - 1) * error).mean(-1), mask)
