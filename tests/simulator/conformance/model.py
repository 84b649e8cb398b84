"""Holds answers against the service's own model: unknown members, types, lengths, patterns, enums."""

import json
import re

from botocore.validate import ParamValidator

# The live service writes an offset where the model's pattern wants `Z` (captured 2022-08-31).
INSTANT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{6})?(Z|\+00:00)")


def problems(raw, shape, path="$", offsets=True):
    """What an answer, as it came over the wire, has that the model has not."""
    found = []
    kind = shape.type_name
    if kind == "structure":
        if not isinstance(raw, dict):
            return [f"{path}: {raw!r} is not an object"]
        for name in shape.required_members:
            if name not in raw:
                found.append(f"{path}: required member {name} is missing")
        for name, value in raw.items():
            if name not in shape.members:
                found.append(f"{path}: member {name} is not in the model")
            elif value is None:
                found.append(f"{path}.{name}: null; the service omits what is unset")
            else:
                found += problems(value, shape.members[name], f"{path}.{name}", offsets)
    elif kind == "list":
        found += bounds(raw, shape, path)
        for i, value in enumerate(raw):
            found += problems(value, shape.member, f"{path}[{i}]", offsets)
    elif kind == "map":
        for key, value in raw.items():
            found += problems(key, shape.key, f"{path}.{key}", offsets)
            found += problems(value, shape.value, f"{path}.{key}", offsets)
    elif kind == "string":
        found += text(raw, shape, path, offsets)
    elif kind in ("integer", "long"):
        if not isinstance(raw, int) or isinstance(raw, bool):
            found.append(f"{path}: {raw!r} is not a whole number")
        else:
            low, high = shape.metadata.get("min"), shape.metadata.get("max")
            if (low is not None and raw < low) or (high is not None and raw > high):
                found.append(f"{path}: {raw} is outside {low}..{high}")
    elif kind == "boolean" and not isinstance(raw, bool):
        found.append(f"{path}: {raw!r} is not true or false")
    return found


def text(raw, shape, path, offsets):
    if not isinstance(raw, str):
        return [f"{path}: {raw!r} is not a text"]
    if shape.name == "ISO8601DatetimeString" and offsets:
        return [] if INSTANT.fullmatch(raw) and 19 <= len(raw) <= 32 else [f"{path}: {raw} is not an instant"]
    found = bounds(raw, shape, path)
    if shape.enum and raw not in shape.enum:
        found.append(f"{path}: {raw} is not one of {shape.enum}")
    pattern = shape.metadata.get("pattern")
    if pattern and not re.fullmatch(pattern, raw):
        found.append(f"{path}: {raw} does not fit {pattern}")
    return found


def bounds(raw, shape, path):
    low, high = shape.metadata.get("min", 0), shape.metadata.get("max", float("inf"))
    return [] if low <= len(raw) <= high else [f"{path}: length {len(raw)} is outside {low}..{high}"]


def check(operation, body, offsets=True):
    """Fails when an answer's body does not fit the operation."""
    if operation.output_shape is None:
        assert body.strip() in (b"", b"{}"), f"{operation.name} has no output, but answered {body!r}"
        return
    raw = json.loads(body or b"{}")
    found = problems(raw, operation.output_shape, operation.name, offsets)
    # FsX members and their like are newer than some installed models; botocore judges the rest itself.
    report = ParamValidator().validate(raw, operation.output_shape)
    if report.has_errors():
        found.append(report.generate_report())
    assert not found, "\n".join(found)
