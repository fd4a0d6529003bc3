-- What the clips of a video are made of (vx_clip_frames in base/clip_frames.h): 0 the exact frames, 1 the nearest key frames.
-- One column a video is enough: its clips are made together, and are made anew together.

ALTER TABLE videos ADD COLUMN frames INTEGER NOT NULL DEFAULT 0;
