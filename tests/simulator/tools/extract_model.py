#!/usr/bin/env python3
"""Write src/mgn/model.json: what MGN accepts, taken from the installed botocore (Apache-2.0).

Only what the simulator needs to route and to validate is kept: method, path, status and input shape of
each operation, with lengths, patterns, ranges and enums. Documentation and output shapes are left out
(the conformance tests check outputs against botocore itself). Run it again when botocore learns a new
operation: `python tools/extract_model.py`.
"""
import gzip
import json
import pathlib

import botocore

# Members that the service has but that older models lack, and limits that were raised since
# (botocore 1.44.5). Kept here so that a re-run with an older botocore gives the same file.
EXTRA_MEMBERS = {
    "UpdateSourceServer": {
        "userProvidedID": {"type": "string", "min": 1, "max": 256},
        "fqdnForActionFramework": {"type": "string", "min": 0, "max": 256},
        "platform": {"type": "string", "min": 0, "max": 256},
    }
}
LIMITS = {"Iops": {"max": 80000}, "Throughput": {"max": 2000}}


def load():
    folder = pathlib.Path(botocore.__file__).parent / "data/mgn/2020-02-26"
    packed = folder / "service-2.json.gz"
    if packed.exists():
        return json.loads(gzip.decompress(packed.read_bytes()))
    return json.loads((folder / "service-2.json").read_text())


def shape_of(model, name, seen):
    """One shape without its documentation; names refer to the flat table in `seen`."""
    if name in seen:
        return
    shape = model["shapes"][name]
    out = {"type": shape["type"]}
    seen[name] = out
    for key in ("min", "max", "pattern", "enum"):
        if key in shape:
            out[key] = shape[key]
    out.update(LIMITS.get(name, {}))
    if shape["type"] == "structure":
        out["required"] = sorted(shape.get("required", []))
        out["members"] = {}
        for member, ref in shape["members"].items():
            shape_of(model, ref["shape"], seen)
            out["members"][member] = ref["shape"]
    elif shape["type"] == "list":
        shape_of(model, shape["member"]["shape"], seen)
        out["member"] = shape["member"]["shape"]
    elif shape["type"] == "map":
        for side in ("key", "value"):
            shape_of(model, shape[side]["shape"], seen)
            out[side] = shape[side]["shape"]


def main():
    model = load()
    operations, shapes = {}, {}
    for name, op in sorted(model["operations"].items()):
        http = op["http"]
        if http["requestUri"].startswith("/network-migration"):
            continue
        entry = {"method": http["method"], "uri": http["requestUri"], "status": http.get("responseCode", 200)}
        if "input" in op:
            entry["input"] = op["input"]["shape"]
            shape_of(model, op["input"]["shape"], shapes)
        for member, shape in EXTRA_MEMBERS.get(name, {}).items():
            shapes.setdefault(f"Extra{member}", shape)
            shapes[entry["input"]]["members"].setdefault(member, f"Extra{member}")
        operations[name] = entry
    target = pathlib.Path(__file__).parent.parent / "src/mgn/model.json"
    text = json.dumps({"operations": operations, "shapes": shapes}, indent=1, sort_keys=True)
    target.write_text(text + "\n")
    print(f"{len(operations)} operations, {len(shapes)} shapes, {len(text)} bytes -> {target}")


if __name__ == "__main__":
    main()
