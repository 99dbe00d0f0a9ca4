'use strict';

// numberOf returns the number that a picture of a numbered clip shows: ten bars in
// its upper half, white for a 1, the lowest bit at the left. -1 if the video shows
// no picture.
window.numberOf = (() => {
  const bits = 10;
  const side = 16; // pixels of a bar
  const canvas = Object.assign(document.createElement('canvas'), { width: bits * side, height: side });
  const pen = canvas.getContext('2d', { willReadFrequently: true });
  return (video) => {
    if (video.readyState < 2) return -1;
    pen.drawImage(video, 0, 0, video.videoWidth, video.videoHeight / 3, 0, 0, canvas.width, side);
    const row = pen.getImageData(0, side / 2, canvas.width, 1).data; // RGBA
    let number = 0;
    for (let bit = 0; bit < bits; bit++) {
      if (row[4 * side * (bit + 0.5)] > 127) number |= 1 << bit;
    }
    return number;
  };
})();
