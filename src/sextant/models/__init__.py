"""Finds an encoder by what a person calls it: a known name, a folder, a hub repository or a Python object.

No pickle is ever loaded. Nothing is fetched that is not one of the files named in `BUNDLE_FILES` and `HUB_FILES`.
"""

from __future__ import annotations

import difflib
import importlib
import importlib.util
import inspect
import os
import re
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import entry_points
from pathlib import Path
from types import ModuleType
from typing import Any, cast

from sextant.encoder import HashEncoder, OnnxEncoder
from sextant.encoder.card import Known
from sextant.errors import ModelError, SextantError
from sextant.models.doctor import DoctorReport, doctor, golden
from sextant.paths import expanded
from sextant.types import Encoder

__all__ = ["DEFAULT", "KNOWN", "DoctorReport", "ModelEntry", "doctor", "fetch", "golden", "list_models", "load"]

DEFAULT = "ViT-B-32-SigLIP2-256/webli"
ENTRY_POINTS = "sextant.encoders"
BUNDLE_FILES = ("card.json", "visual.onnx", "textual.onnx", "tokenizer.json")
HUB_FILES = (
    "config.json",
    "visual/model.onnx",
    "visual/preprocess_cfg.json",
    "textual/model.onnx",
    "textual/tokenizer.json",
    "textual/tokenizer_config.json",
)
PICKLES = frozenset({".bin", ".pt", ".pth", ".ckpt", ".pkl", ".pickle"})
_REQUIRED = ("name", "revision", "dim", "logit_scale", "logit_bias", "encode_images", "encode_texts")


def _softmax(description: str) -> Known:
    return Known(logit_scale=100.0, logit_bias=0.0, licence="MIT", description=description)


def _sigmoid(description: str, scale: float | None = None) -> Known:
    """Neither published file says the trained scale and bias: where they are None, the card marks them as assumed."""
    return Known(logit_scale=scale, logit_bias=None, licence="Apache-2.0", description=description)


KNOWN: dict[str, Known] = {
    "ViT-B-32-SigLIP2-256/webli": _sigmoid("SigLIP 2 base, 256 px, coarse patches: fast, multilingual; the default"),
    "ViT-B-16-SigLIP2/webli": _sigmoid("SigLIP 2 base, 224 px, multilingual: slower and better"),
    "ViT-L-16-SigLIP2-256/webli": _sigmoid("SigLIP 2 large, 256 px, multilingual"),
    "ViT-L-16-SigLIP2-384/webli": _sigmoid("SigLIP 2 large, 384 px, multilingual"),
    "ViT-SO400M-14-SigLIP2/webli": _sigmoid("SigLIP 2 shape-optimised, 224 px, multilingual"),
    "ViT-SO400M-16-SigLIP2-384/webli": _sigmoid("SigLIP 2 shape-optimised, 384 px, multilingual: for a GPU"),
    "ViT-B-16-SigLIP/webli": _sigmoid("SigLIP base, 224 px, English"),
    "ViT-B-16-SigLIP-256/webli": _sigmoid("SigLIP base, 256 px, English"),
    "ViT-B-16-SigLIP-384/webli": _sigmoid("SigLIP base, 384 px, English"),
    "ViT-L-16-SigLIP-256/webli": _sigmoid("SigLIP large, 256 px, English"),
    "ViT-SO400M-14-SigLIP-384/webli": _sigmoid("SigLIP shape-optimised, 384 px, English: for a GPU", 112.33),
    "ViT-B-32/openai": _softmax("CLIP base, 224 px, coarse patches, English: fast, the classic"),
    "ViT-B-16/openai": _softmax("CLIP base, 224 px, English"),
    "ViT-L-14/openai": _softmax("CLIP large, 224 px, English"),
    "ViT-L-14-336/openai": _softmax("CLIP large, 336 px, English"),
    "ViT-B-32/laion2b-s34b-b79k": _softmax("CLIP base trained on LAION-2B, 224 px, English: fast"),
    "ViT-L-14/laion2b-s32b-b82k": _softmax("CLIP large trained on LAION-2B, 224 px, English"),
    "ViT-H-14/laion2b-s32b-b79k": _softmax("CLIP huge trained on LAION-2B, 224 px, English: for a GPU"),
}
"""Names in open_clip's form, MODEL/WEIGHTS; each is the repository immich-app/MODEL__WEIGHTS on Hugging Face."""


@dataclass(frozen=True, slots=True)
class ModelEntry:
    """One line of `sextant model list`. `here` says whether it can be used without a download."""

    name: str
    source: str
    here: bool
    licence: str | None
    description: str


def load(spec: str, *, device: str = "auto", precision: str = "auto", cache: Path | None = None) -> Encoder:
    """The encoder that `spec` names. Raises `ModelError` with the ways on.

    `spec` is a known name (`ViT-B-32/openai`), `mini`, `hash`, a bundle folder, `local-dir:PATH`, `hf-hub:OWNER/REPO`
    (with `@REVISION` if wanted), `path/to/file.py:Name`, `package.module:Name`, or an entry point of the group
    `sextant.encoders`. `device` is auto, cpu or cuda; `precision` auto, fp32, bf16 or int8. `cache` replaces the folder
    where the Hugging Face Hub keeps what it fetched.
    """
    if spec.startswith("local-dir:"):
        return _from_folder(expanded(spec.removeprefix("local-dir:")), device, precision)
    if spec.startswith("hf-hub:"):
        return _from_hub(spec.removeprefix("hf-hub:"), device, precision, cache)
    if spec == "hash":
        return _checked(HashEncoder(), spec)
    if spec == "mini":
        if not (_mini() / "card.json").is_file():
            raise ModelError("This installation lacks the embedded encoder `mini`. Reinstall sextant-images.")
        return _from_folder(_mini(), device, precision)
    if spec in KNOWN:
        return _from_hub(_repository(spec), device, precision, cache, name=spec)
    if re.search(r"\.py:\w+$", spec):
        file, _, name = spec.rpartition(":")
        return _from_python(_module_of_file(expanded(file)), name, spec, device, precision)
    return _from_elsewhere(spec, device, precision)


def list_models(cache: Path | None = None) -> list[ModelEntry]:
    """Every encoder that has a name: the built-in ones, the table of known models, and entry points."""
    mini = _mini()
    entries = [
        ModelEntry(
            "mini", "embedded", (mini / "card.json").is_file(), "Apache-2.0", "knows only the demo's drawn world"
        ),
        ModelEntry(
            "hash", "embedded", True, "Apache-2.0", "no model: fixed meaningless scores, for tests and dry runs"
        ),
    ]
    for name, known in KNOWN.items():
        repository = _repository(name)
        here = all(_cached(repository, file, cache) for file in HUB_FILES)
        entries.append(ModelEntry(name, f"hf-hub:{repository}", here, known.licence, known.description))
    installed = entry_points(group=ENTRY_POINTS)
    return entries + [ModelEntry(p.name, p.value, True, None, "installed as a Python package") for p in installed]


def _from_elsewhere(spec: str, device: str, precision: str) -> Encoder:
    """A folder, an entry point, or a module: what has no mark of its own."""
    path = expanded(spec)
    if path.suffix in PICKLES:
        raise ModelError(_no_pickle(path))
    if path.is_dir():
        return _from_folder(path, device, precision)
    for point in entry_points(group=ENTRY_POINTS):
        if point.name == spec:
            return _built(point.load(), spec, device, precision)
    if re.fullmatch(r"[A-Za-z_][\w.]*:[A-Za-z_]\w*", spec):
        module, _, name = spec.partition(":")
        return _from_python(_module_of_name(module, spec), name, spec, device, precision)
    names = [entry.name for entry in list_models()]
    near = difflib.get_close_matches(spec, names, n=1, cutoff=0.5)
    hint = f" Did you mean {near[0]}?" if near else ""
    raise ModelError(
        f"There is no encoder {spec!r}.{hint} Known: {', '.join(names)}. Else give a folder, hf-hub:OWNER/REPO, "
        "path/to/file.py:Name or package.module:Name."
    )


def _from_folder(folder: Path, device: str, precision: str) -> OnnxEncoder:
    if folder.suffix in PICKLES:
        raise ModelError(_no_pickle(folder))
    if not (folder / "card.json").is_file() and not (folder / "visual").is_dir():
        pickles = sorted(p.name for p in folder.glob("*") if p.suffix in PICKLES) if folder.is_dir() else []
        if pickles and not list(folder.glob("*.safetensors")):
            raise ModelError(_no_pickle(folder / pickles[0]))
    name, known = known_by_folder(folder.resolve().name)
    return OnnxEncoder(folder, device=device, precision=precision, name=name, known=known)


def known_by_folder(folder: str) -> tuple[str | None, Known | None]:
    """The known model that a folder or repository called MODEL__WEIGHTS holds, if it is in the table."""
    name = folder.replace("__", "/")
    return (name, KNOWN[name]) if name in KNOWN else (None, None)


def _mini() -> Path:
    return Path(__file__).parents[1] / "demo" / "mini"


def _repository(name: str) -> str:
    return "immich-app/" + name.replace("/", "__")


def _from_hub(
    repository: str, device: str, precision: str, cache: Path | None, *, name: str | None = None
) -> OnnxEncoder:
    repository, _, revision = repository.partition("@")
    if not re.fullmatch(r"[\w.-]+/[\w.-]+", repository):
        raise ModelError(f"{repository!r} is not a repository on the Hugging Face Hub; it has the form OWNER/NAME.")
    folder = _fetch(repository, revision or None, cache)
    by_name, known = known_by_folder(repository.rpartition("/")[2])
    commit = folder.name if re.fullmatch(r"[0-9a-f]{40}", folder.name) else None
    return OnnxEncoder(
        folder,
        device=device,
        precision=precision,
        name=name or by_name or repository,
        revision=commit[:12] if commit else None,
        known=known,
    )


def _fetch(repository: str, revision: str | None, cache: Path | None) -> Path:
    """The folder of an encoder's repository in the Hub's cache, fetched when it is not there yet."""
    files = [*BUNDLE_FILES, *HUB_FILES]
    patterns = [*files, *(f"{file}*data" for file in files if file.endswith(".onnx"))]
    folder, reason = _snapshot(repository, patterns, revision, cache)
    missing = _missing(folder) if folder else next((f for f in HUB_FILES if not _cached(repository, f, cache)), None)
    if folder and not missing:
        return folder
    raise ModelError(
        f"{missing or 'The model'} of https://huggingface.co/{repository} is not on this machine and could not be "
        f"fetched ({reason or 'the repository does not have it'}). Without a connection: fetch it elsewhere with `hf "
        f"download {repository} --local-dir FOLDER`, copy the folder here, and use --model local-dir:FOLDER; or copy "
        "the Hub's cache and set HF_HOME; or use --model mini or --model hash, which need no download."
    )


def fetch(repository: str, patterns: Sequence[str], cache: Path | None = None) -> Path:
    """The folder of a repository in the Hub's cache with the files that match. Raises `ModelError`."""
    folder, reason = _snapshot(repository, patterns, None, cache)
    if folder is None:
        raise ModelError(
            f"https://huggingface.co/{repository} is not on this machine and could not be fetched ({reason}). Without "
            f"a connection: fetch it elsewhere with `hf download {repository} --local-dir FOLDER`, and copy the folder."
        )
    return folder


def _snapshot(
    repository: str, patterns: Sequence[str], revision: str | None, cache: Path | None
) -> tuple[Path | None, str]:
    """The folder, or None and the reason in words."""
    from huggingface_hub import snapshot_download

    offline = os.environ.get("HF_HUB_OFFLINE", "").upper() in {"1", "ON", "YES", "TRUE"}
    try:
        folder = snapshot_download(
            repository, revision=revision, cache_dir=cache, allow_patterns=list(patterns), local_files_only=offline
        )
        return Path(folder), ""
    except Exception as error:  # noqa: BLE001 - offline, unknown, gated, full disk: the client has dozens of errors
        return None, "HF_HUB_OFFLINE is set" if offline else str(error).strip().splitlines()[0]


def _missing(folder: Path) -> str | None:
    """The first file that a folder lacks to be a bundle or the hub layout."""
    files = BUNDLE_FILES if (folder / "card.json").is_file() else HUB_FILES[:-1]
    return next((file for file in files if not (folder / file).is_file()), None)


def _cached(repository: str, file: str, cache: Path | None) -> bool:
    from huggingface_hub import try_to_load_from_cache

    return isinstance(try_to_load_from_cache(repository, file, cache_dir=cache), str)


def _module_of_file(path: Path) -> ModuleType:
    if not path.is_file():
        raise ModelError(f"There is no Python file {path}.")
    name = f"sextant_encoder_{path.stem}"
    found = importlib.util.spec_from_file_location(name, path)
    if found is None or found.loader is None:
        raise ModelError(f"{path} cannot be loaded as a Python module.")
    module = importlib.util.module_from_spec(found)
    sys.modules[name] = module  # dataclasses and type hints look their own module up there
    try:
        found.loader.exec_module(module)
    except Exception as error:  # whatever a stranger's file raises, the person has to hear which file it was
        del sys.modules[name]
        raise ModelError(f"{path} could not be loaded: {type(error).__name__}: {error}") from error
    return module


def _module_of_name(name: str, spec: str) -> ModuleType:
    try:
        return importlib.import_module(name)
    except Exception as error:  # as above
        raise ModelError(f"The module {name} of --model {spec} could not be loaded: {error}") from error


def _from_python(module: ModuleType, name: str, spec: str, device: str, precision: str) -> Encoder:
    found = getattr(module, name, None)
    if found is None:
        raise ModelError(f"There is no {name} in {module.__file__ or module.__name__} (--model {spec}).")
    return _built(found, spec, device, precision)


def _built(found: Any, spec: str, device: str, precision: str) -> Encoder:
    """An encoder from a class or function without required arguments, or the object itself."""
    if not callable(found) or (not inspect.isclass(found) and isinstance(found, Encoder)):
        return _checked(found, spec)
    parameters = inspect.signature(found).parameters
    asked = {"device": (device, ("auto", "cpu")), "precision": (precision, ("auto", "fp32"))}
    for option, (value, harmless) in asked.items():
        if option not in parameters and value not in harmless:
            raise ModelError(f"{spec} takes no {option}; --{option} {value} cannot be honoured. Leave it out.")
    arguments = {option: value for option, (value, _) in asked.items() if option in parameters}
    try:
        return _checked(found(**arguments), spec)
    except SextantError:
        raise
    except Exception as error:  # as above
        raise ModelError(f"The encoder {spec} could not be started: {type(error).__name__}: {error}") from error


def _checked(encoder: object, spec: str) -> Encoder:
    absent: Sequence[str] = [part for part in _REQUIRED if not hasattr(encoder, part)]
    if absent:
        raise ModelError(f"{spec} is not an encoder: it has no {', '.join(absent)}. docs/models.md shows a whole one.")
    return cast("Encoder", encoder)


def _no_pickle(path: Path) -> str:
    return (
        f"{path} may hold Python code (pickle), which Sextant never loads. Ask for the model as safetensors, or save "
        "it so on a machine you trust (safetensors.torch.save_file), then run `sextant model convert`."
    )
