// Dilation and connected components of images and masks, {data, width, height} with the data in row-major order.

// Dilation: the maximum over a square of 2 · reach + 1 pixels a side around each pixel.
function dilated({ data, width, height }, reach) {
  const spread = (values, length, step) =>
    values.map((value, i) => {
      const at = Math.floor(i / step) % length;
      const last = i + Math.min(reach, length - 1 - at) * step;
      for (let j = i - Math.min(reach, at) * step; j <= last; j += step) if (values[j] > value) value = values[j];
      return value;
    });
  return { data: spread(spread(data, width, 1), height, width), width, height };
}

// Label the connected components of a mask from 1, the background with 0. Of each component also its bounding box, its
// size, its weight (the sum of its ink), whether the border cuts it, and whether it reaches the image's middle half.
function components({ data: mask, width, height }, ink) {
  const labels = new Int32Array(mask.length);
  const parts = [{ weight: 0 }];
  for (let start = 0; start < mask.length; start++) {
    if (!mask[start] || labels[start]) continue;
    const part = { top: height, bottom: 0, left: width, right: 0, weight: 0 };
    const todo = [start];
    labels[start] = parts.length;
    while (todo.length) {
      const i = todo.pop();
      const [row, column] = [Math.floor(i / width), i % width];
      part.weight += ink[i];
      const [down, across] = [(row + 0.5) / height - 0.5, (column + 0.5) / width - 0.5];
      part.reaches_middle ||= Math.max(Math.abs(down), Math.abs(across)) <= 0.25;
      part.top = Math.min(part.top, row);
      part.bottom = Math.max(part.bottom, row + 1);
      part.left = Math.min(part.left, column);
      part.right = Math.max(part.right, column + 1);
      for (let y = Math.max(row - 1, 0); y <= Math.min(row + 1, height - 1); y++) {
        for (let x = Math.max(column - 1, 0); x <= Math.min(column + 1, width - 1); x++) {
          const j = y * width + x;
          if (!mask[j] || labels[j]) continue;
          labels[j] = parts.length;
          todo.push(j);
        }
      }
    }
    part.cut = part.top === 0 || part.left === 0 || part.bottom === height || part.right === width;
    part.size = Math.max(part.bottom - part.top, part.right - part.left);
    parts.push(part);
  }
  return { labels, parts };
}
