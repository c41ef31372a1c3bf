import sys

import torch

from stress.device import library
from stress.device.sim import loading
from stress.device.sim.build import default_builder

b = default_builder().find()
library.load(str(b.library))
loading._name_device(b.key)
ops = torch.ops.mps_stress_sim
ops.configure(sys.argv[1])
import threading

dev = "mps"


def work(i):
    for k in range(30):
        a = torch.ones(64, 64, device=dev) * i
        b2 = a @ a
        c = torch.nn.functional.linear(b2, a)
        d = torch.nn.functional.layer_norm(c, (64,))
        e = d.t().contiguous()
        f = torch.nn.functional.scaled_dot_product_attention(e[None, None], e[None, None], e[None, None])
        ev = torch.mps.Event()
        ev.record()
        ev.wait()
        if k % 5 == 0:
            torch.mps.synchronize()
        y = torch.ones(100).to(dev, non_blocking=True)
        (f.sum() + y.sum()).item()


ts = [threading.Thread(target=work, args=(i,)) for i in range(4)]
[t.start() for t in ts]
[t.join() for t in ts]
torch.mps.synchronize()
print({k: v for k, v in ops.statistics().items() if "fault" in k or k == "executed"})
for l in ops.take_broken_promises():
    print(l)
