"""mctx as it comes, jitted: a worker of `benchmarks/search.py`, which starts it where mctx is installed."""

from collections.abc import Callable
from typing import Any

from search_work import ACTIONS, CONSIDERED, DISCOUNT, LATENT, one_core, serve, weights

one_core()

import jax  # noqa: E402
import jax.numpy as jnp  # noqa: E402
import mctx  # noqa: E402


def prepare(settings: dict[str, Any]) -> dict[str, Callable[[], Any]]:
    batch = settings["batch"]
    given = {name: jnp.asarray(value) for name, value in weights(batch).items()}

    def recurrent(w, key, action, state):
        hidden = jax.nn.relu(state @ w["first"] + w["push"][action])
        hidden = jax.nn.relu(hidden @ w["second"])
        new = hidden @ w["last"]
        reward, value = jnp.tanh(new[:, LATENT]), jnp.tanh(new[:, LATENT + 1])
        step = mctx.RecurrentFnOutput(
            reward=reward, discount=jnp.full_like(reward, DISCOUNT), prior_logits=new[:, LATENT + 2 :], value=value
        )
        return step, jnp.tanh(new[:, :LATENT])

    @jax.jit
    def plan(w, key):
        seen = w["state"] @ w["root"]
        root = mctx.RootFnOutput(prior_logits=seen[:, 2:], value=jnp.tanh(seen[:, 1]), embedding=w["state"])
        output = mctx.gumbel_muzero_policy(
            w,
            key,
            root,
            recurrent,
            settings["simulations"],
            max_depth=settings["depth"],
            max_num_considered_actions=min(CONSIDERED, ACTIONS),
            gumbel_scale=0.0,
        )
        return output.action, output.search_tree.summary().visit_counts

    def work() -> list[Any]:
        action, visits = jax.block_until_ready(plan(given, jax.random.PRNGKey(0)))
        return [action.tolist(), visits.astype(int).tolist()]

    return {"search": work}


if __name__ == "__main__":
    serve(prepare, {"mctx": mctx.__version__, "jax": jax.__version__, "device": jax.devices()[0].platform})
