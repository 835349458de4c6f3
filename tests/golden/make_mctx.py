"""Makes mctx.json: what mctx's Gumbel MuZero search does with invented models of ours.

Run by hand, where mctx and jax are installed: `python tests/golden/make_mctx.py`.
"""

import json
from pathlib import Path

import jax
import jax.numpy as jnp
import mctx
import numpy as np

CASES = (
    # batch, states, actions, simulations, considered, depth, discount, masked root actions
    {"seed": 1, "sizes": (6, 4, 5, 16, 4, 4), "discount": 1.0, "masked": 0},
    {"seed": 2, "sizes": (4, 6, 16, 64, 16, 6), "discount": 0.9, "masked": 5},
    {"seed": 3, "sizes": (3, 5, 8, 50, 8, 2), "discount": 0.95, "masked": 2},
)


def invent(seed: int, batch: int, states: int, actions: int) -> dict[str, np.ndarray]:
    """Weights of a small nonlinear model, and the states it starts from."""
    random = np.random.default_rng(seed)
    shapes = {
        "state": (batch, states),
        "move": (states, states),
        "push": (actions, states),
        "reward": (actions, states),
        "value": (states,),
        "logits": (states, actions),
    }
    return {name: random.normal(size=shape).round(3).astype(np.float32) for name, shape in shapes.items()}


def run(seed: int, sizes: tuple[int, ...], discount: float, masked: int) -> dict[str, object]:
    batch, states, actions, simulations, considered, depth = sizes
    weights = {name: jnp.asarray(value) for name, value in invent(seed, batch, states, actions).items()}
    invalid = np.zeros((batch, actions), dtype=np.int32)
    for row in range(batch):
        invalid[row, np.random.default_rng(seed + row).choice(np.arange(1, actions), masked, replace=False)] = 1

    def recurrent(params, key, action, state):
        new = jnp.tanh(state @ params["move"] + params["push"][action])
        reward = jnp.tanh((new * params["reward"][action]).sum(-1))
        step = mctx.RecurrentFnOutput(
            reward=reward,
            discount=jnp.full_like(reward, discount),
            prior_logits=new @ params["logits"],
            value=jnp.tanh(new @ params["value"]),
        )
        return step, new

    state = jnp.asarray(weights["state"])
    root = mctx.RootFnOutput(prior_logits=state @ weights["logits"], value=jnp.tanh(state @ weights["value"]), embedding=state)
    key = jax.random.PRNGKey(seed)
    # The policy draws its noise from the second half of the key.
    noise = jax.random.gumbel(jax.random.split(key)[1], shape=(batch, actions), dtype=jnp.float32)
    output = mctx.gumbel_muzero_policy(
        weights,
        key,
        root,
        recurrent,
        simulations,
        invalid_actions=jnp.asarray(invalid),
        max_depth=depth,
        max_num_considered_actions=considered,
    )
    summary = output.search_tree.summary()
    given = {"simulations": simulations, "considered": considered, "depth": depth, "discount": discount}
    return given | {
        "weights": {name: value.tolist() for name, value in weights.items()},
        "invalid": invalid.tolist(),
        "noise": np.asarray(noise).round(7).tolist(),
        "visits": np.asarray(summary.visit_counts).astype(int).tolist(),
        "q": np.asarray(summary.qvalues).round(7).tolist(),
        "value": np.asarray(summary.value).round(7).tolist(),
        "action": np.asarray(output.action).tolist(),
    }


if __name__ == "__main__":
    found = {"made_by": f"mctx {mctx.__version__}, jax {jax.__version__}, CPU", "cases": [run(**case) for case in CASES]}
    (Path(__file__).parent / "mctx.json").write_text(json.dumps(found) + "\n")
