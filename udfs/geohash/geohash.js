const ALPHABET = '0123456789bcdefghjkmnpqrstuvwxyz';

// Each digit holds five bits, which halve the ranges of longitude and latitude in turn.
export function geohash(latitude, longitude, digits) {
  if (!(Math.abs(latitude) <= 90 && Math.abs(longitude) <= 180)) {
    throw new RangeError(`no place on earth: latitude ${latitude}, longitude ${longitude}`);
  }
  if (digits < 1 || digits > 12) throw new RangeError(`digits must be from 1 to 12, not ${digits}`);
  const range = { longitude: [-180, 180], latitude: [-90, 90] };
  let text = '';
  for (let bit = 0, digit = 0; text.length < digits; bit++) {
    const axis = bit % 2 === 0 ? 'longitude' : 'latitude';
    const value = axis === 'longitude' ? longitude : latitude;
    const middle = (range[axis][0] + range[axis][1]) / 2;
    const upper = value >= middle;
    range[axis][upper ? 0 : 1] = middle;
    digit = digit * 2 + (upper ? 1 : 0);
    if (bit % 5 === 4) {
      text += ALPHABET[digit];
      digit = 0;
    }
  }
  return text;
}
