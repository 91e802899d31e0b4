"""How a registered model is opened, as its card says it."""

from stages.modelling.served_model import BESIDE, BOTTLENECK, ServedModel

WHOLE = "The folder is a plain model folder: `from_pretrained` and `vllm serve` read it as it is."
ADAPTER = """\
The folder is not a plain model folder: it holds the adapter, and its base in `{base}/` ({digest}). Alone, the base is not
what was trained and measured here. {how}

```python
{code}
```"""
PEFT = """\
from peft import PeftModel
from transformers import AutoModelForCausalLM, AutoTokenizer, GenerationConfig

base = AutoModelForCausalLM.from_pretrained(f"{{folder}}/{base}")
model = PeftModel.from_pretrained(base, folder)
model.base_model.generation_config = GenerationConfig.from_pretrained(folder)
tokenizer = AutoTokenizer.from_pretrained(folder)"""
TEMPER = """\
from pathlib import Path

from stages.modelling.models import load_model
from transformers import AutoTokenizer

model = load_model(Path(folder))
tokenizer = AutoTokenizer.from_pretrained(folder)"""


def how_to_load(served: ServedModel) -> str:
    """Markdown; `folder` in its code is the folder of the registered files."""
    if served.form != "adapter":
        return WHOLE
    if served.kind == BOTTLENECK:
        how, code = "Its layers are not among those that PEFT knows, so this project's code loads it:", TEMPER
    else:
        how, code = "PEFT puts the one on the other:", PEFT.format(base=BESIDE)
    digest = f"SHA-256 {served.base_digest}" if served.base_digest else "of unknown digest"
    return ADAPTER.format(base=BESIDE, digest=digest, how=how, code=code)
