// Effective rank of a matrix (Roy and Vetterli, "The effective rank: a measure of effective dimensionality", EUSIPCO 2007):
// exp of the entropy of its singular values, each over their sum. Between 1 and the rank; equal values give the rank.

/** @param matrix [rows, columns], row-major */
export function effectiveRank(matrix: ArrayLike<number>, rows: number, columns: number): number {
  const singular = eigenvalues(gram(matrix, rows, columns), Math.min(rows, columns)).map((v) =>
    Math.sqrt(Math.max(v, 0)),
  );
  const sum = singular.reduce((a, b) => a + b, 0);
  if (sum === 0) return 0;
  const entropy = singular.reduce((a, s) => (s > 0 ? a - (s / sum) * Math.log(s / sum) : a), 0);
  return Math.exp(entropy);
}

/** Four sums at once: one addition need not wait for the one before. */
function dot(a: Float64Array, b: Float64Array, length: number): number {
  let [s, t, u, v] = [0, 0, 0, 0];
  let k = 0;
  for (; k + 3 < length; k += 4) {
    s += a[k]! * b[k]!;
    t += a[k + 1]! * b[k + 1]!;
    u += a[k + 2]! * b[k + 2]!;
    v += a[k + 3]! * b[k + 3]!;
  }
  for (; k < length; k++) s += a[k]! * b[k]!;
  return s + t + (u + v);
}

/** The smaller of A A' and A' A, whose eigenvalues are the squares of the singular values. */
function gram(matrix: ArrayLike<number>, rows: number, columns: number): Float64Array {
  const wide = columns >= rows;
  const [n, length] = wide ? [rows, columns] : [columns, rows];
  // The vectors whose products are taken, one after the other.
  const vectors = new Float64Array(n * length);
  for (let i = 0; i < n; i++)
    for (let k = 0; k < length; k++) vectors[i * length + k] = matrix[wide ? i * columns + k : k * columns + i]!;
  const products = new Float64Array(n * n);
  for (let i = 0; i < n; i++) {
    const a = vectors.subarray(i * length, (i + 1) * length);
    for (let j = 0; j <= i; j++)
      products[i * n + j] = products[j * n + i] = dot(a, vectors.subarray(j * length, (j + 1) * length), length);
  }
  return products;
}

/** Eigenvalues of a symmetric matrix, which is overwritten. */
function eigenvalues(a: Float64Array, n: number): Float64Array {
  const { diagonal, off } = tridiagonal(a, n);
  return ofTridiagonal(diagonal, off);
}

/** Householder's reflections: a similar matrix with one diagonal beside the main one (`off[i]` between i - 1 and i). */
function tridiagonal(a: Float64Array, n: number): { diagonal: Float64Array; off: Float64Array } {
  const off = new Float64Array(n);
  const p = new Float64Array(n);
  for (let k = n - 1; k >= 1; k--) {
    // Row k keeps what is left of its first k values as one number at k - 1.
    const row = a.subarray(k * n, k * n + k);
    let norm = 0;
    for (let j = 0; j < k; j++) norm += row[j]! * row[j]!;
    const rest = norm - row[k - 1]! * row[k - 1]!;
    if (rest <= 0) {
      off[k] = row[k - 1]!;
      continue;
    }
    const alpha = row[k - 1]! > 0 ? -Math.sqrt(norm) : Math.sqrt(norm);
    off[k] = alpha;
    const h = norm - alpha * row[k - 1]!;
    row[k - 1]! -= alpha; // the vector v of the reflection I - v v' / h
    let kappa = 0;
    for (let i = 0; i < k; i++) {
      p[i] = dot(a.subarray(i * n, i * n + k), row, k) / h;
      kappa += p[i]! * row[i]!;
    }
    kappa /= 2 * h;
    for (let i = 0; i < k; i++) p[i]! -= kappa * row[i]!;
    for (let i = 0; i < k; i++) {
      const ai = a.subarray(i * n, i * n + k);
      const [vi, pi] = [row[i]!, p[i]!];
      for (let j = 0; j < k; j++) ai[j]! -= vi * p[j]! + pi * row[j]!;
    }
  }
  return { diagonal: Float64Array.from({ length: n }, (_, i) => a[i * n + i]!), off };
}

/** QL steps with implicit shifts. */
function ofTridiagonal(d: Float64Array, off: Float64Array): Float64Array {
  const n = d.length;
  const e = Float64Array.from({ length: n }, (_, i) => off[i + 1] ?? 0); // between i and i + 1
  for (let l = 0; l < n; l++) {
    for (let turn = 0; turn < 60; turn++) {
      let m = l;
      while (m < n - 1 && Math.abs(e[m]!) > Number.EPSILON * (Math.abs(d[m]!) + Math.abs(d[m + 1]!))) m++;
      if (m === l) break;
      let g = (d[l + 1]! - d[l]!) / (2 * e[l]!);
      let r = Math.hypot(g, 1);
      g = d[m]! - d[l]! + e[l]! / (g + (g >= 0 ? r : -r));
      let [s, c, p] = [1, 1, 0];
      let i = m - 1;
      for (; i >= l; i--) {
        const f = s * e[i]!;
        const b = c * e[i]!;
        r = Math.hypot(f, g);
        e[i + 1] = r;
        if (r === 0) break;
        [s, c] = [f / r, g / r];
        g = d[i + 1]! - p;
        r = (d[i]! - g) * s + 2 * c * b;
        p = s * r;
        d[i + 1] = g + p;
        g = c * r - b;
      }
      if (r === 0 && i >= l) d[i + 1]! -= p;
      else {
        d[l]! -= p;
        e[l] = g;
      }
      e[m] = 0;
    }
  }
  return d;
}
