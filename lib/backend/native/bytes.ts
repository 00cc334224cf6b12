export function formatBytes(bytes: number): string {
  if (bytes < 1e6) return `${bytes} bytes`
  return bytes < 1e9 ? `${(bytes / 1e6).toFixed(1)} MB` : `${(bytes / 1e9).toFixed(2)} GB`
}
