import { useEffect, useState } from 'preact/hooks';

/** What is drawn on a canvas does not follow the style sheet by itself. */
export function useTheme(): string {
  const query = matchMedia('(prefers-color-scheme: dark)');
  const [isDark, setIsDark] = useState(query.matches);
  useEffect(() => {
    const changed = (): void => setIsDark(query.matches);
    query.addEventListener('change', changed);
    return () => query.removeEventListener('change', changed);
  }, []);
  return isDark ? 'dark' : 'light';
}
