// Zones as polygons of [longitude, latitude], as GeoJSON has them. Rough outlines of three airports.
const ZONES = {
  JFK: [[-73.83, 40.62], [-73.74, 40.62], [-73.74, 40.67], [-73.83, 40.67]],
  LGA: [[-73.89, 40.765], [-73.855, 40.765], [-73.855, 40.79], [-73.89, 40.79]],
  EWR: [[-74.2, 40.665], [-74.15, 40.665], [-74.15, 40.715], [-74.2, 40.715]],
};

// A ray to the east crosses the outline an odd number of times from inside.
function inside([x, y], polygon) {
  let odd = false;
  polygon.forEach(([x1, y1], i) => {
    const [x2, y2] = polygon[(i + 1) % polygon.length];
    if (y1 > y !== y2 > y && x < ((x2 - x1) * (y - y1)) / (y2 - y1) + x1) odd = !odd;
  });
  return odd;
}

export function zone_of(latitude, longitude) {
  for (const [name, polygon] of Object.entries(ZONES)) {
    if (inside([longitude, latitude], polygon)) return name;
  }
  return null;
}
