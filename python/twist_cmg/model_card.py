"""The page about an exported policy, for people."""

import json
from collections.abc import Mapping
from typing import Any

from .evaluation import Policy

_MEASURES = {
    "survival": ("survival", "{:.1%}"),
    "velocity_rmse_1s": ("velocity error averaged over 1 s (RMSE)", "{:.3f} m/s"),
    "yaw_rate_rmse_1s": ("yaw rate error averaged over 1 s (RMSE)", "{:.3f} rad/s"),
}


def model_card(policy: Policy, contract: Mapping[str, Any]) -> str:
    """Markdown: what it is, what it needs, what was measured."""
    robot, observation = contract["robot"], contract["observation"]
    base, output = contract["action_base"], contract["output"]
    lines = [
        f"# A {contract['kind']} for {robot['name']}",
        "",
        "Follows the motion that a CMG makes of velocity commands (vx, vy in m/s, yaw rate in "
        f"rad/s), {contract['rate_hz']} times a second. Made by twist_cmg, iteration "
        f"{contract['iteration']}.",
        "",
        f"- sees {observation['width']} numbers: "
        + ", ".join(f"{b['name']} ({b['width']})" for b in observation["blocks"])
        + f", and {observation['history']['frames']} past frames",
        f"- moves {len(output['actions'])} joints: {', '.join(output['actions'])}",
        f"- adds its actions to: {_base(base)}",
    ]
    if output["estimates"]:
        lines.append("- answers with its estimate of the pelvis velocity (heading frame), too")
    return "\n".join([*lines, "", "## Measured", "", *_measured(policy), ""])


def _base(base: Mapping[str, Any]) -> str:
    if base["mode"] == "default_offset":
        return "the default pose"
    return (
        f"the reference, {base['velocity']:g} of the torque that damping takes and "
        f"{base['torque']:g} of the torque that its motion needs (inverse dynamics of the frames, "
        "computed by the controller)"
    )


def _measured(policy: Policy) -> list[str]:
    """The evaluation at the end of the training, if it is there."""
    file = policy.folder / "evaluation.json"
    if not file.is_file():
        return [
            "Nothing was measured at the end of its training; "
            "`python -m twist_cmg.evaluate policy FOLDER` does."
        ]
    answer = json.loads(file.read_text())
    rows = [
        f"| {title} | {form.format(value)} |"
        for name, (title, form) in _MEASURES.items()
        if (value := answer["grid"]["summary"].get(name)) is not None
    ]
    how = (
        f"Plain MuJoCo, {answer['timestep'] * 1000:g} ms, {answer['collision']} collisions, "
        f"friction {answer['friction']:g}, {answer['episodes']} episodes for each command of the "
        "grid, driven by the CMG."
    )
    return [how, "", "| over the grid | |", "|---|--:|", *rows]
