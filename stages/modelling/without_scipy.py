"""To be imported before anything that loads transformers' models or PEFT: they then come without SciPy.

Transformers 5.23 imports SciPy's solvers for the losses of object detection, wherever SciPy is installed; MLflow brings it.
Nothing here detects objects: 35 MiB of every process, and half a second.
"""

import transformers.utils

_says = transformers.utils.is_scipy_available
transformers.utils.is_scipy_available = lambda: False
try:
    import transformers.loss.loss_utils  # asks while it loads
finally:
    transformers.utils.is_scipy_available = _says
