"""How often the gate stops what is no slower, and how small a slowdown it finds. Without torch.

By simulation, with the noise of recorded traces. `noise` is the model, and `fit` finds it in traces. `simulate` puts the two
gates to it, and `tables` shows what comes out. And `measured`, on this machine.
"""
