"""temporary: replaced at the merge"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class PublicDataset:
    url: str
    files: dict[str, str]
    md5: dict[str, str]
    checksums: dict[str, str]
    law: str
    ordered: bool
    options: dict[str, Any] = field(default_factory=dict)
    downloaded_by_us: bool = True


PUBLIC: dict[str, PublicDataset] = {
    "yelp2018": PublicDataset(
        url="https://raw.githubusercontent.com/gusye1234/LightGCN-PyTorch/master/data/yelp2018/",
        files={"train": "train.txt", "test": "test.txt"},
        law="last",
        ordered=True,
        md5={"train": "1b8b5d22a227e01d6de002c53d32b4c4", "test": "0d57d7399862c32152b045ec5d2698e7"},
        checksums={
            "train": "8993178300bffe81049b5ad4d143da7fd7e3d7f6a57cb1d5d058194b3ff1418d",
            "test": "4e3bc7fb074fe00d8a80d80edb3b374cb7e60449a0611053390eac6aba381de4",
        },
    ),
    "gowalla": PublicDataset(
        url="https://raw.githubusercontent.com/xiangwang1223/neural_graph_collaborative_filtering/master/Data/gowalla/",
        files={"train": "train.txt", "test": "test.txt"},
        law="last",
        ordered=True,
        md5={"train": "5eec1eb2edb8dd648377d348b8e136cf", "test": "c04e2c4bcd2389f53ed8281816166149"},
        checksums={
            "train": "ebe1ddb79ac2a4d9a5f65a40534ada1a2634af1768914c05083e0af42ab384e7",
            "test": "036e5a961bcd009dff854bf449fa2084ce849befcbaaf930aeee2725f5624f29",
        },
    ),
}


def local_or_downloaded(name: str, looked: list[Path]) -> Path:
    for folder in looked:
        if folder.is_dir():
            return folder
    raise NotImplementedError
