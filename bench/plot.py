"""The plot of a memory run as SVG, drawn by hand: no library is needed to look at six lines."""

from __future__ import annotations

from collections.abc import Sequence

WIDTH, PANEL, LEFT, TOP = 760, 92, 84, 34
POINTS = 400  # of each line
SHADES = ("#f2f2f2", "#ffffff")


def drawing(rows: Sequence[tuple[float, str, dict[str, int]]]) -> str:
    """A panel for each process, on one axis of time. rows: (seconds, phase, kB by process)."""
    names = list(rows[0][2])
    end = rows[-1][0]
    bottom = TOP + PANEL * len(names)

    def x(seconds: float) -> float:
        return LEFT + (WIDTH - LEFT - 16) * seconds / end

    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {bottom + 34}" '
        'font-family="sans-serif" font-size="11" fill="#222">',
        f'<rect width="{WIDTH}" height="{bottom + 34}" fill="#ffffff"/>',
    ]
    for number, (phase, begin, until) in enumerate(_phases(rows)):
        parts.append(
            f'<rect x="{x(begin):.1f}" y="{TOP}" width="{x(until) - x(begin):.1f}" height="{bottom - TOP}" '
            f'fill="{SHADES[number % 2]}"/>'
        )
        if x(until) - x(begin) > 7 * len(phase):
            parts.append(f'<text x="{x(begin) + 3:.1f}" y="{TOP - 6}">{phase}</text>')
    shown = rows[:: max(1, len(rows) // POINTS)]
    for number, name in enumerate(names):
        parts += _panel(name, TOP + PANEL * number, [(x(at), rss[name] / 1024) for at, _, rss in shown])
    step = next((one for one in (60, 120, 300, 600, 1200) if end / one <= 8), 3600)
    for tick in range(0, int(end) + 1, step):
        parts.append(f'<text x="{x(tick):.1f}" y="{bottom + 16}" text-anchor="middle">{tick // 60}</text>')
    parts.append(f'<text x="{WIDTH - 16}" y="{bottom + 30}" text-anchor="end">minutes</text></svg>')
    return "\n".join(parts) + "\n"


def _panel(name: str, top: float, points: Sequence[tuple[float, float]]) -> list[str]:
    most = max(max(value for _, value in points) * 1.15, 1.0)
    height = PANEL - 14

    def y(value: float) -> float:
        return top + 7 + height * (1 - value / most)

    line = " ".join(f"{at:.1f},{y(value):.1f}" for at, value in points)
    high, last = max(value for _, value in points), points[-1][1]
    return [
        f'<line x1="{LEFT}" x2="{WIDTH - 16}" y1="{y(0):.1f}" y2="{y(0):.1f}" stroke="#999"/>',
        f'<polyline points="{line}" fill="none" stroke="#15506b" stroke-width="1.2"/>',
        f'<text x="8" y="{top + 22:.1f}" font-weight="bold">{name}</text>',
        f'<text x="8" y="{top + 38:.1f}">max {high:.0f} MB</text>',
        f'<text x="8" y="{top + 54:.1f}">end {last:.0f} MB</text>',
        f'<text x="{LEFT - 4}" y="{y(0):.1f}" text-anchor="end">0</text>',
    ]


def _phases(rows: Sequence[tuple[float, str, dict[str, int]]]) -> list[tuple[str, float, float]]:
    """(phase, from, until), in order."""
    found: list[tuple[str, float, float]] = []
    for seconds, phase, _ in rows:
        if found and found[-1][0] == phase:
            found[-1] = (phase, found[-1][1], seconds)
        else:
            begin = found[-1][2] if found else 0.0
            found.append((phase, begin, seconds))
    return found
