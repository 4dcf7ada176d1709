"""Looking into a checkpoint that anybody may have written, without running anything of it.

`process.looked_into` opens the file and has a child process of tight limits read it; what comes
back are plain values and the places of tensors' bytes (`contents`). One file in `readers/` reads
one container. Nothing here imports torch.
"""
