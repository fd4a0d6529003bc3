"""Made clips to compare two implementations of a network on, where no film is at hand."""
import torch


def dead_leaves(seed, n_frames, size, n_leaves=120):
    """float [n_frames,3,size,size] in [0,1]: shaded discs that occlude each other and drift.

    Radii follow a power law: edges, flat parts and scales then mix as in photographs, which noise
    and smooth waves do not imitate. The same seed gives the same clip."""
    generator = torch.Generator().manual_seed(seed)

    def uniform(*shape):
        return torch.rand(*shape, generator=generator)

    y, x = torch.meshgrid(torch.arange(float(size)), torch.arange(float(size)), indexing="ij")
    time = torch.linspace(0, 1, n_frames).view(-1, 1, 1)
    clip = torch.zeros(n_frames, 3, size, size)
    for _ in range(n_leaves):
        radius = size / 30 / (uniform(1) * 0.97 + 0.03) ** 0.8
        centre, drift = uniform(2) * size, (uniform(2) - 0.5) * size / 4
        colour, shade = uniform(3).view(3, 1, 1), (uniform(3).view(3, 1, 1) - 0.5) / 2
        dx, dy = x - centre[0] - drift[0] * time, y - centre[1] - drift[1] * time
        inside = (dx * dx + dy * dy < radius * radius).unsqueeze(1)
        clip = torch.where(inside, colour + shade * (dy / radius).unsqueeze(1), clip)
    return clip.clamp(0, 1)
