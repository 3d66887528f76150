"""Parts of the stand-alone script: its frame, and the ways to take a step; ``format`` fills in the braces."""

STOCK_STEP = '''\
smoothing = trainer["arguments"].get("label_smoothing_factor", 0.0)
smoother = LabelSmoother(epsilon=smoothing) if smoothing else None
inner = model.get_base_model() if hasattr(model, "get_base_model") else model
parameters = inspect.signature(type(inner).forward).parameters.values()
takes_anything = any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters)
is_scaled = trainer["loss_is_scaled_for_ga"]


def step(inputs, num_items):
    """Back-propagate the model's own loss, as the stock Trainer does, and return it."""
    inputs = moved(inputs)
    labels = inputs.pop("labels", None) if smoother else None
    is_counted = takes_anything and num_items is not None
    outputs = model(**inputs, **({"num_items_in_batch": moved(num_items)} if is_counted else {}))
    if labels is None:
        loss = outputs["loss"] if isinstance(outputs, dict) else outputs[0]
    else:
        shift = type(inner).__name__ in MODEL_FOR_CAUSAL_LM_MAPPING_NAMES.values()
        loss = smoother(outputs, labels, shift_labels=shift, num_items_in_batch=moved(num_items))
    if not (is_counted if is_scaled is None else is_scaled):
        loss = loss / trainer["accumulation"]
    (loss * scale).backward()
    return loss.detach()
'''
OWN_STEP = '''\
QUIET = {quiet}
given = {{**plain(trainer["arguments"]), **QUIET, "use_cpu": device == "cpu"}}
extra = {{"compute_loss_func": find(trainer["loss_function"])}} if trainer["loss_function"] else {{}}
arguments = find(trainer["arguments_cls"])(output_dir=tempfile.gettempdir(), **given)
own = find(trainer["cls"])(model=model, args=arguments, train_dataset=[{{}}], **extra)
own.current_gradient_accumulation_steps = trainer["accumulation"]
own.loss_is_scaled_for_ga = trainer["loss_is_scaled_for_ga"]
if precision == "fp16":
    own.accelerator.scaler = torch.amp.GradScaler(device, init_scale=scale)


def step(inputs, num_items):
    """Take the step of the user's own Trainer, imported from where it was, and return its loss."""
    return own.training_step(model, inputs, moved(num_items))
'''
NOISE = """
activate_neftune(model, trainer["arguments"]["neftune_noise_alpha"])
"""
ADAPTERS = """\
    for name, fields in made["adapters"]["configs"].items():
        given = {name: value for name, value in plain(fields).items() if not name.startswith("megatron")}
        if "init_lora_weights" in given:
            given["init_lora_weights"] = False  # they are loaded
        adapter = peft.PEFT_TYPE_TO_CONFIG_MAPPING[fields["peft_type"]](**given)
        if hasattr(model, "peft_config"):
            model.add_adapter(name, adapter)
        else:
            model = peft.get_peft_model(model, adapter, adapter_name=name, autocast_adapter_dtype=False)
    if len(model.peft_config) > 1:
        model.base_model.set_adapter(made["adapters"]["active"])
    model.train()
"""
SCRIPT = '''\
"""Shows a training step that broke: {what}.

Needs {needs} alone; captured with torch {torch}, transformers {transformers}.
    python {name} [--precision fp32|tf32|bf16|bf16-pure|fp16] [--weights captured|initial] [--device cpu|cuda]
Exits with 0 when the failure comes back, with 1 when it does not.
"""

import argparse
import importlib
import inspect
import json
import struct
import sys
import tempfile
from pathlib import Path

{imports}import torch
from safetensors.torch import load_file
from transformers.integrations.neftune import activate_neftune
from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING_NAMES
from transformers.trainer_pt_utils import LabelSmoother

here = {here}
bundle = json.loads((here / "bundle.json").read_text(encoding="utf-8"))
numerics, trainer, bad = bundle["numerics"], bundle["trainer"], bundle["bad"]
can = "cuda" if torch.cuda.is_available() and numerics["device"] == "cuda" else "cpu"
options = argparse.ArgumentParser()
options.add_argument("--precision", choices=["fp32", "tf32", "bf16", "bf16-pure", "fp16"])
options.add_argument("--weights", default="captured", choices=["captured", "initial"])
options.add_argument("--device", default=can, choices=["cpu", "cuda"])
asked = options.parse_args()
device, precision = asked.device, asked.precision or numerics["precision"]
scale = float(numerics["loss_scale"]) if precision == "fp16" == numerics["precision"] else 1.0
dtype = {{"bf16": torch.bfloat16, "fp16": torch.float16}}.get(precision)


def find(place):
    """A class or function by its place."""
    thing = importlib.import_module(place["module"])
    for name in place["name"].split("."):
        thing = getattr(thing, name)
    return thing


def plain(value):
    """JSON data with numbers that JSON does not know put back."""
    if isinstance(value, dict):
        is_number = value.keys() == {{"__float__"}}
        return float(value["__float__"]) if is_number else {{key: plain(item) for key, item in value.items()}}
    return [plain(item) for item in value] if isinstance(value, list) else value


def value_of(node, tensors):
    """An input of the batch."""
    ((kind, held),) = node.items()
    if kind == "tensor":
        return tensors[held]
    if kind == "mapping":
        return {{key: value_of(item, tensors) for key, item in held.items()}}
    if kind in ("list", "tuple"):
        return {{"list": list, "tuple": tuple}}[kind](value_of(item, tensors) for item in held)
    return struct.unpack(">d", bytes.fromhex(held))[0] if kind == "float" else held


def moved(value):
    """The same on the device."""
    if isinstance(value, torch.Tensor):
        return value.to(device)
    if isinstance(value, dict):
        return {{key: moved(item) for key, item in value.items()}}
    return type(value)(map(moved, value)) if isinstance(value, (list, tuple)) else value


def to_fp32(value):
    """A model's outputs as they leave autocast."""
    if isinstance(value, torch.Tensor):
        return value.float() if value.dtype in (torch.float16, torch.bfloat16) else value
    if hasattr(value, "items"):
        return type(value)(**{{key: to_fp32(item) for key, item in value.items()}})
    return type(value)(map(to_fp32, value)) if isinstance(value, (list, tuple)) else value


def build():
    """The model as it was before the step: all parameters and buffers, dropout rates, training mode."""
    made = bundle["model"]
    cls = find(made["cls"])
    config = cls.config_class.from_dict(plain(made["config"]))
    config._attn_implementation = made["attn_implementation"] or None
    model = cls(config).train()
{adapters}    file = {{"captured": "weights.safetensors", "initial": "initial.safetensors"}}[asked.weights]
    stored, in_checkpoint = load_file(here / file), model.state_dict().keys()
    named = [*model.named_parameters(remove_duplicate=False), *model.named_buffers(remove_duplicate=False)]
    for name, tensor in named:
        tensor.data = stored[name if name in stored else bundle["aliases"][name]].clone()
        if asked.precision and name in in_checkpoint and tensor.is_floating_point():
            # as captured the weights stay what they were; any other precision says what they are
            tensor.data = tensor.data.to(torch.bfloat16 if asked.precision == "bf16-pure" else torch.float32)
    for name, module in model.named_modules():
        if isinstance(module, torch.nn.Dropout) and name in made["dropout"]:
            module.p = made["dropout"][name]
    for name, weight in model.named_parameters():
        if weight.is_floating_point():
            weight.requires_grad_(name not in made.get("frozen", ()))
    return model.to(device)


torch.set_num_threads(numerics["num_threads"])
torch.use_deterministic_algorithms(numerics["deterministic_algorithms"])
torch.backends.fp32_precision = "tf32" if precision == "tf32" else "ieee"
torch.backends.cuda.matmul.fp32_precision = torch.backends.fp32_precision
model = build()
forward = model.forward


def autocast_forward(*args, **kwargs):
    """The model's forward under autocast, and nothing else."""
    with torch.autocast(device, dtype):
        outputs = forward(*args, **kwargs)
    return to_fp32(outputs)


if dtype is not None:
    model.forward = autocast_forward
{noise}
{step}

def run():
    """The losses of the step's micro-batches; prints them."""
    tensors = load_file(here / "batch.safetensors")
    for micro in bundle["window"]:
        for name, state in micro["rng"].items():
            if name == "cpu":
                torch.set_rng_state(tensors[state])
            elif device == "cuda":
                torch.cuda.set_rng_state(tensors[state], name)
        if asked.weights == "captured":
            for name, stored in micro["buffers"].items():
                model.get_buffer(name).data = tensors[stored].to(device, copy=True)
        loss = float(step(value_of(micro["inputs"], tensors), value_of(micro["num_items"], tensors)))
        bits = struct.pack(">f", loss).hex()
        print(f"loss {{loss}} (bits {{bits}})", f"training rows {{micro['rows']}}" if micro["rows"] else "")
        yield loss, bits


try:
    losses, bits = zip(*run())
except Exception as error:
    if bad["kind"] != "error":
        raise
    print(f"{{type(error).__name__}}: {{error}}")
    is_back, is_exact = bad["text"].startswith(type(error).__name__ + ":"), False
else:
    named = [(name, weight.grad) for name, weight in model.named_parameters() if weight.grad is not None]
    broken = [name for name, grad in named if not torch.isfinite(grad).all()]
    first = f", first {{broken[0]}}" if broken else ""
    print(f"{{len(broken)}} of {{len(named)}} gradients are not finite{{first}}")
    norm = torch.nn.utils.get_total_norm([grad.float() for _, grad in named])
    is_back = not (torch.isfinite(torch.tensor(losses)).all() and torch.isfinite(norm))
    is_exact = is_back and list(bits) == bundle["digest"]["loss_bits"]
how = ", every loss the same in all bits" if is_exact else ""
print(f"reproduced{{how}}" if is_back else "not reproduced")
sys.exit(0 if is_back else 1)
'''
