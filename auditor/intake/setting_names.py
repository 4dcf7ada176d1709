"""The names under which scripts and trainers keep each setting of training."""

from auditor.intake.declared import (
    BATCH_SIZES,
    CLIPS,
    EPOCHS,
    OPTIMIZERS,
    RATES,
    SCHEDULES,
)

NUMBERS: dict[str, tuple[str, ...]] = {
    "lr": (*RATES, "lr0"),
    "momentum": ("momentum", "sgd_momentum"),
    "beta1": ("adam_beta1", "beta1", "beta_1"),
    "beta2": ("adam_beta2", "beta2", "beta_2"),
    "weight_decay": ("weight_decay", "wd"),
    "eps": ("adam_epsilon", "adam_eps", "opt_eps"),
    "batch_size": (*BATCH_SIZES, "batch"),
    "epochs": EPOCHS,
    "planned_steps": ("max_steps", "max_iters", "num_train_steps", "train_steps", "total_steps"),
    "clip_norm": CLIPS,
    "seed": ("seed", "random_seed", "manual_seed", "manualSeed", "global_seed", "rng_seed"),
    "accumulated": (
        "gradient_accumulation_steps",
        "accumulate_grad_batches",
        "accumulation_steps",
        "grad_accum_steps",
        "grad_accumulation",
    ),
    "devices": ("world_size", "num_gpus", "n_gpu", "num_devices", "devices", "ngpus"),
}
"""Settings that are numbers, each by the first of its names that is there."""

TEXTS: dict[str, tuple[str, ...]] = {
    "optimizer": OPTIMIZERS,
    "schedule": SCHEDULES,
    "loss": ("loss", "criterion", "loss_fn", "loss_function", "loss_name", "objective"),
}
"""Settings that are names."""

LEAST = {"lr": 0.0, "batch_size": 1, "epochs": 0.01, "seed": 0, "planned_steps": 1, "devices": 1,
         "accumulated": 1, "weight_decay": 0.0, "clip_norm": 0.0}  # fmt: skip
"""The least that a setting can be; what is below stands for "not set"."""

NAMED = ("name", "type", "class", "_target_", "class_path")
"""Keys of a section on one thing, such as `optimizer`, that name its class."""

SECTIONS = {"optimizer": ("optimizer", "optim", "optimizer_config", "optimization"),
            "schedule": ("scheduler", "lr_scheduler", "schedule")}  # fmt: skip
"""Sections of a configuration on the optimizer and on the schedule."""

MODEL_SECTIONS = ("model", "model_args", "model_config", "model_kwargs", "net", "network", "arch",
                  "architecture", "backbone")  # fmt: skip
"""Sections of a configuration with the arguments of the model."""

MODELS = (*MODEL_SECTIONS, "model_name", "model_type", "architectures", "model_name_or_path")
"""What tells which model it was, or with which arguments."""

DATA = ("dataset", "dataset_name", "datasets", "data_version", "dataset_version", "data_hash",
        "dataset_hash", "data_sha256", "data_fingerprint", "dataset_fingerprint",
        "dataset_revision", "data_revision", "train_data", "train_file", "data_path", "data_dir",
        "data_root")  # fmt: skip
"""What tells which data it was."""

PREPARED = ("augmentation", "augmentations", "augment", "transform", "transforms", "normalize",
            "normalization", "mixup", "mixup_alpha", "cutmix", "cutmix_alpha", "auto_augment",
            "aa", "randaugment", "color_jitter", "random_erasing", "reprob", "hflip", "fliplr",
            "crop_pct", "crop_size", "image_size", "img_size", "input_size", "imgsz", "mean", "std",
            "label_smoothing", "smoothing", "max_length", "max_seq_length", "tokenizer",
            "preprocessing", "image_mean", "image_std")  # fmt: skip
"""What tells how inputs and targets were prepared."""

PICKED = ("best", "val_loss", "val_acc", "valid_loss", "metric", "score", "monitor", "early_stop")
"""Parts of names of what is kept beside a checkpoint that was picked by a score."""

DECAYED = ("warmup", "lr_decay", "decay_lr", "anneal", "milestone", "lr_step", "lr_gamma", "cosine",
           "sched", "plateau", "min_lr", "lrf")  # fmt: skip
"""Parts of names of settings that tell of a schedule, be it made by hand."""
