"""Settings by their names in other tools, and what to write for each here.

The names are those of transformers (`TrainingArguments` and its example scripts), LLaMA-Factory,
axolotl, ms-swift, lightning-hydra-template, the Lightning `Trainer`, NeMo and torchtune. Nothing
here is accepted as a key: the table only fills the hint of an error.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Mapping

VALUE = "VALUE"
"""Stands in a hint where no value was given."""


@dataclasses.dataclass(frozen=True)
class Peer:
    """A setting of another tool.

    Attributes:
        write: Overrides that mean the same; `{}` is the value that was given. Empty where nothing
            means the same.
        values: What to write instead for certain values, in lower case.
        note: What else there is to know.
        example: A value that the setting is given with; with it, `write` composes.
        choose: The group choice that has the keys of `write`; needed where the present one has not.
        replaces: Keys that exclude `write`, and are set to null beside it where they have a value.
        convert: Turns the value that was given into ours.
    """

    write: str = ""
    values: Mapping[str, str] = dataclasses.field(default_factory=dict)
    note: str = ""
    example: str = "1"
    choose: str = ""
    replaces: tuple[str, ...] = ()
    convert: Callable[[str], str] | None = None

    def overrides(self, value: str | None) -> list[str]:
        """Return what to write for a value; empty where nothing means the same."""
        text = self.values.get(str(value).lower(), self.write)
        if value is not None and self.convert is not None:
            value = self.convert(value)
        return [part.replace("{}", VALUE if value is None else value) for part in text.split()]


def _switch(on: str, off: str, *, choose: str = "") -> Peer:
    """A setting that is true or false, or only named: `--fp16`."""
    values = dict.fromkeys(("true", "1", "yes", "on", "none"), on)
    values |= dict.fromkeys(("false", "0", "no", "off"), off)
    return Peer(on, values, example="true", choose=choose)


def _percent(value: str) -> str:
    try:
        return f"{float(value) / 100:g}"
    except ValueError:
        return value


_BATCH = Peer(
    "data.batch_examples={}",
    note="It counts the examples of one optimizer step, over all devices.",
    example="16",
    replaces=("data.batch_tokens",),
)
_MICRO = Peer(
    note="data.batch_examples or data.batch_tokens is the whole batch of one optimizer step. If "
    "it does not fit on a device, data.micro_tokens=TOKENS sets the size of micro-batches, and "
    "gradients are accumulated."
)
_EVAL_BATCH = Peer(note="data.eval_tokens=TOKENS sets the size of an evaluation batch.")
_EPOCHS = Peer("trainer.max_epochs={}", example="3")
_LENGTH = Peer("data.max_length={}", example="128")
_LR = Peer("optimizer.lr={}", example="3e-5")
_MODEL = Peer("model.path={}", example="some/model", choose="model=pretrained")
_START = Peer("init_from={}", example="some/model")
_WARMUP = Peer(
    "scheduler.warmup={}",
    note="A share of all steps, such as 0.1, or a whole number of steps.",
    example="0.1",
)
_SCHEDULE = Peer(
    "scheduler={}",
    {
        "cosine_with_restarts": "",
        "constant_with_warmup": "scheduler=constant",
        "constant": "scheduler=constant scheduler.warmup=0",
        "warmup_stable_decay": "scheduler=wsd",
    },
    example="cosine",
)
_OPTIMIZER = Peer(
    "optimizer={}",
    dict.fromkeys(("adamw_torch", "adamw_torch_fused", "adamw_hf", "adamw"), "optimizer=adamw"),
    example="adafactor",
)
_PRECISION = {
    **dict.fromkeys(("fp16", "float16", "16"), "trainer.precision=16-mixed"),
    **dict.fromkeys(("bf16", "bfloat16"), "trainer.precision=bf16-mixed"),
    **dict.fromkeys(("fp32", "float32", "32", "no"), "trainer.precision=32-true"),
}
_DTYPE = Peer("trainer.precision={}", _PRECISION, example="auto")
_VALIDATION_SHARE = Peer("data.validation={}", example="0.1")
_LIMIT = Peer("data.limit={}", note="It limits each split.", example="100")
_TUNER = Peer(
    "peft={}",
    {"full": "peft=null", "none": "peft=null", "freeze": "optimizer.freeze=[PATTERN]"},
    example="lora",
)
_CHECK_EVERY = Peer(
    "trainer.val_check_interval={}",
    note="A whole number is in optimizer steps; a share is of an epoch.",
    example="100",
)
_WHEN = Peer(note="trainer.val_check_interval=STEPS, or trainer.check_val_every_n_epoch=EPOCHS.")
_ATTENTION = Peer(
    "model.attention={}",
    {
        **dict.fromkeys(("true", "fa2", "flash_attn"), "model.attention=flash_attention_2"),
        **dict.fromkeys(("auto", "false", "disabled"), "model.attention=null"),
    },
    example="sdpa",
)
_LOGGER = Peer(
    "logger={}", {"none": "logger=none", "all": "logger=many_loggers"}, example="tensorboard"
)
_RESUME = Peer(
    note="The same command resumes an interrupted run. To start from the weights of another run: "
    "ckpt_path=RUN/checkpoints/best.",
)
_NO_WORKERS = Peer(note="This setting does not exist: batches are loaded without worker processes.")
_BEST = Peer(
    note="The best checkpoint is always kept and evaluated at the end. task.monitor=METRIC sets "
    "the metric."
)
_CHECKPOINTING = _switch("model.gradient_checkpointing=true", "model.gradient_checkpointing=false")
_PACKING = _switch("data.packing=true", "data.packing=false")
_COMPILE = _switch("trainer.compile=true", "trainer.compile=false")
_PATIENCE = Peer(
    "callbacks.early_stopping.patience={}",
    choose="callbacks=early_stopping",
    example="3",
)
_DEVICES = Peer(
    "trainer.devices={}",
    {"0": "trainer=cpu"},
    example="2",
)
_BEAMS = Peer("task.decoding.num_beams={}", example="4", choose="task=seq2seq")
_TEXT = Peer("data.text={}", example="text", choose="data=table")
_LABEL = Peer("data.label={}", example="label", choose="data=table")
_CLIP = Peer("trainer.gradient_clip_val={}", example="1.0")

PEERS: Mapping[str, Peer] = {
    # Size and length
    **dict.fromkeys(("batch_size", "train_batch_size", "global_batch_size"), _BATCH),
    **dict.fromkeys(("per_device_train_batch_size", "per_gpu_train_batch_size"), _BATCH),
    **dict.fromkeys(
        ("eval_batch_size", "per_device_eval_batch_size", "val_batch_size"), _EVAL_BATCH
    ),
    **dict.fromkeys(("micro_batch_size", "device_train_microbatch_size"), _MICRO),
    **dict.fromkeys(("gradient_accumulation_steps", "accumulate_grad_batches"), _MICRO),
    **dict.fromkeys(("max_seq_length", "max_seq_len", "max_length", "cutoff_len"), _LENGTH),
    **dict.fromkeys(("sequence_len", "seq_length", "seq_len", "block_size"), _LENGTH),
    **dict.fromkeys(("max_source_length", "encoder_seq_length", "model_max_length"), _LENGTH),
    **dict.fromkeys(("packing", "sample_packing", "neat_packing"), _PACKING),
    "max_target_length": Peer("task.max_target={}", example="64", choose="task=seq2seq"),
    "pad_to_max_length": Peer(note="Batches are padded to their longest example."),
    "group_by_length": _switch("data.bucket=50", "data.bucket=0"),
    # Training
    **dict.fromkeys(("epochs", "num_epochs", "n_epochs", "num_train_epochs"), _EPOCHS),
    **dict.fromkeys(
        ("num_steps", "train_steps", "num_train_steps", "max_train_steps"),
        Peer("trainer.max_steps={}", example="100"),
    ),
    "max_steps_per_epoch": Peer("trainer.limit_train_batches={}", example="100"),
    **dict.fromkeys(("lr", "learning_rate", "base_lr", "max_lr"), _LR),
    **dict.fromkeys(("wd", "weight_decay"), Peer("optimizer.weight_decay={}", example="0.01")),
    "adam_beta1": Peer(
        "optimizer.algorithm.betas=[{},0.999]", example="0.9", choose="optimizer=adamw"
    ),
    "adam_beta2": Peer(
        "optimizer.algorithm.betas=[0.9,{}]", example="0.95", choose="optimizer=adamw"
    ),
    "adam_betas": Peer(
        "optimizer.algorithm.betas={}", example="[0.9,0.95]", choose="optimizer=adamw"
    ),
    **dict.fromkeys(
        ("adam_epsilon", "adam_eps"),
        Peer("optimizer.algorithm.eps={}", example="1e-8", choose="optimizer=adamw"),
    ),
    **dict.fromkeys(("optim", "optimizer_type", "optimizer_name"), _OPTIMIZER),
    **dict.fromkeys(("lr_scheduler_type", "lr_scheduler", "scheduler_type"), _SCHEDULE),
    **dict.fromkeys(
        ("warmup_ratio", "warmup_steps", "num_warmup_steps", "warmup_proportion"), _WARMUP
    ),
    **dict.fromkeys(
        ("max_grad_norm", "clip_grad_norm", "gradient_clip", "gradient_clipping"), _CLIP
    ),
    **dict.fromkeys(("grad_clip", "grad_norm_clip", "clip_grad"), _CLIP),
    "label_smoothing_factor": Peer("task.label_smoothing={}", example="0.1"),
    **dict.fromkeys(("gradient_checkpointing", "enable_activation_checkpointing"), _CHECKPOINTING),
    "activation_checkpointing": _CHECKPOINTING,
    **dict.fromkeys(("early_stopping_patience", "patience"), _PATIENCE),
    "random_seed": Peer("seed={}"),
    "data_seed": Peer("data.seed={}"),
    # Precision and machines
    "fp16": _switch("trainer.precision=16-mixed", "trainer.precision=32-true"),
    "bf16": _switch("trainer.precision=bf16-mixed", "trainer.precision=32-true"),
    "pure_bf16": _switch("trainer.precision=bf16-true", "trainer.precision=32-true"),
    "amp": _switch("trainer.precision=16-mixed", "trainer.precision=32-true"),
    **dict.fromkeys(("dtype", "torch_dtype", "mixed_precision"), _DTYPE),
    **dict.fromkeys(("gpus", "num_gpus", "n_gpu", "n_gpus", "nproc_per_node"), _DEVICES),
    "gpu": _switch("trainer=gpu", "trainer=cpu"),
    **dict.fromkeys(("no_cuda", "use_cpu", "cpu"), _switch("trainer=cpu", "trainer=default")),
    "device": Peer(
        "trainer.accelerator={}",
        {"cuda": "trainer=gpu", "cpu": "trainer=cpu", "mps": "trainer=mps", "gpu": "trainer=gpu"},
        example="auto",
    ),
    **dict.fromkeys(("nnodes", "nodes"), Peer("trainer.num_nodes={}")),
    **dict.fromkeys(("fsdp", "deepspeed"), Peer("trainer=fsdp", example="full_shard")),
    "tensor_model_parallel_size": Peer("trainer.tensor_parallel={}"),
    **dict.fromkeys(("torch_compile", "compile", "use_compile"), _COMPILE),
    **dict.fromkeys(("num_workers", "dataloader_num_workers", "pin_memory"), _NO_WORKERS),
    **dict.fromkeys(("dataloader_pin_memory", "persistent_workers"), _NO_WORKERS),
    # Models
    **dict.fromkeys(("model_name_or_path", "model_name", "model_path", "base_model"), _MODEL),
    **dict.fromkeys(("model_id", "model_type", "pretrained_model_name_or_path"), _MODEL),
    **dict.fromkeys(("hf_model", "pretrained_model", "checkpoint_dir"), _MODEL),
    **dict.fromkeys(("adapter_name_or_path", "restore_from_path"), _START),
    **dict.fromkeys(
        ("tokenizer", "processing_class", "image_processor"),
        Peer(note="Tokenizers and image processors are in the group processor: processor=bpe."),
    ),
    "tokenizer_name": Peer(
        note="The tokenizer comes with the model: model=pretrained model.path=PLACE; "
        "init_from=PLACE sets both."
    ),
    **dict.fromkeys(
        ("attn_implementation", "attn_impl", "flash_attn", "flash_attention"), _ATTENTION
    ),
    "trust_remote_code": Peer(note="Use the flag --trust-remote-code on the command line."),
    "freeze_backbone": Peer("optimizer.freeze=[encoder.*]", example="true"),
    # peft
    **dict.fromkeys(("finetuning_type", "train_type", "tuner_type", "adapter"), _TUNER),
    **dict.fromkeys(("use_peft", "use_lora", "lora"), _switch("peft=lora", "peft=null")),
    **dict.fromkeys(
        ("lora_rank", "lora_r", "lora_dim"),
        Peer("peft.config.r={}", example="8", choose="peft=lora"),
    ),
    "lora_alpha": Peer("peft.config.lora_alpha={}", example="16", choose="peft=lora"),
    "lora_dropout": Peer("peft.config.lora_dropout={}", example="0.1", choose="peft=lora"),
    **dict.fromkeys(
        ("lora_target", "lora_target_modules", "target_modules"),
        Peer(
            "peft.config.target_modules={}",
            {"all": "peft.config.target_modules=all-linear"},
            choose="peft=lora",
            example="all-linear",
        ),
    ),
    "use_dora": _switch("peft=dora", "peft=lora"),
    "use_rslora": _switch("peft=rslora", "peft=lora"),
    **dict.fromkeys(("load_in_4bit", "use_4bit"), _switch("peft=qlora", "peft=lora")),
    "quantization_bit": Peer(values={"4": "peft=qlora"}, example="4"),
    # Data
    **dict.fromkeys(
        ("train_file", "train_path", "train_data", "train_data_path"),
        Peer("data.train={}", example="train.csv"),
    ),
    **dict.fromkeys(
        ("validation_file", "valid_file", "val_file", "dev_file", "eval_file"),
        Peer("data.validation={}", example="dev.csv"),
    ),
    "test_file": Peer("data.test={}", example="test.csv"),
    **dict.fromkeys(
        ("dataset_name", "dataset", "dataset_path"),
        Peer("data.path={}", choose="data=hub", example="some/dataset"),
    ),
    "dataset_config_name": Peer("data.config={}", example="en", choose="data=hub"),
    **dict.fromkeys(
        ("data_dir", "dataset_dir", "data_path"),
        Peer("data.dir={}", note="Give a file for each split: data.train=FILE.", example="folder"),
    ),
    **dict.fromkeys(("text_column", "text_column_name", "text_col", "text_field"), _TEXT),
    **dict.fromkeys(("label_column", "label_column_name", "label_col", "label_field"), _LABEL),
    **dict.fromkeys(
        ("val_size", "val_set_size", "val_split", "split_dataset_ratio"), _VALIDATION_SHARE
    ),
    "validation_split_percentage": Peer("data.validation={}", example="5", convert=_percent),
    **dict.fromkeys(("max_samples", "max_train_samples", "max_eval_samples"), _LIMIT),
    "max_predict_samples": _LIMIT,
    **dict.fromkeys(
        ("template", "chat_template"),
        Peer("task.template={}", example="chatml", choose="task=chat"),
    ),
    "source_prefix": Peer("task.prefix={}", example="summarize:", choose="task=seq2seq"),
    "mlm_probability": Peer("task.rate={}", example="0.15", choose="task=masked_lm"),
    # Evaluation and decoding
    **dict.fromkeys(("eval_steps", "eval_interval", "eval_every"), _CHECK_EVERY),
    **dict.fromkeys(("eval_strategy", "evaluation_strategy"), _WHEN),
    "metric_for_best_model": Peer("task.monitor={}", example="entity_f1"),
    **dict.fromkeys(("load_best_model_at_end", "greater_is_better"), _BEST),
    "do_train": _switch("train=true", "train=false ckpt_path=RUN/checkpoints/best"),
    "do_predict": _switch("test=true", "test=false"),
    **dict.fromkeys(("num_beams", "generation_num_beams"), _BEAMS),
    "predict_with_generate": _switch(
        "task.generates=true", "task.generates=false", choose="task=seq2seq"
    ),
    # What is written, and where
    **dict.fromkeys(
        ("output_dir", "save_dir", "exp_dir", "default_root_dir"),
        Peer("paths.output_dir={}", example="outputs"),
    ),
    "cache_dir": Peer("paths.cache_dir={}", example="cache"),
    **dict.fromkeys(
        ("run_name", "exp_name", "experiment_name", "task_name", "wandb_name"),
        Peer("name={}", example="mine"),
    ),
    **dict.fromkeys(("report_to", "log_with"), _LOGGER),
    "wandb": _switch("logger=wandb", "logger=csv"),
    "wandb_project": Peer("logger.wandb.project={}", choose="logger=wandb", example="mine"),
    **dict.fromkeys(
        ("logging_steps", "log_every", "log_interval"),
        Peer("trainer.log_every_n_steps={}", example="10"),
    ),
    **dict.fromkeys(
        ("save_steps", "save_every", "save_interval"),
        Peer("callbacks.checkpoints.every_n_steps={}", example="100"),
    ),
    "save_total_limit": Peer("callbacks.checkpoints.keep={}", example="2"),
    **dict.fromkeys(("resume", "resume_from_checkpoint", "auto_resume", "resume_from"), _RESUME),
    "overwrite_output_dir": Peer(
        note="Nothing is overwritten: the config determines the run's folder, and the result of a "
        "complete run is shown from there."
    ),
    **dict.fromkeys(
        ("sweep", "multirun"), Peer(note="Use a sweep: lushan train -m KEY=VALUE,VALUE")
    ),
}


def suffixes(name: str) -> Iterator[str]:
    """A dotted name, and what is left of it without its first parts: `a.b.c`, `b.c`, `c`."""
    while name:
        yield name
        _, _, name = name.partition(".")


def peer_of(name: str) -> Peer | None:
    """The peers' setting that a name ends with, `-` and `_` alike."""
    plain = name.lower().replace("-", "_")
    return next((PEERS[ending] for ending in suffixes(plain) if ending in PEERS), None)
