"""Small SVG pictures as text: a curve, boxes with arrows."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from html import escape

FONT = 'font-family="system-ui, sans-serif"'
INK, FAINT, BLUE, PALE = "#333", "#ccc", "#1f5fa8", "#eef4fb"


def chart(points: Sequence[tuple[float, float]], x_title: str, y_title: str, label: str) -> str:
    """A curve over [-1, 1]; its values lie in [-1, 1] and reach 1."""
    width, height, left, top, right, bottom = 420, 220, 52, 14, 14, 44
    lowest = min(0.0, min(y for _, y in points))

    def x_of(x: float) -> float:
        return left + (x + 1) / 2 * (width - left - right)

    def y_of(y: float) -> float:
        return top + (1 - y) / (1 - lowest) * (height - top - bottom)

    steps = [-1.0, -0.5, 0.0, 0.5, 1.0]
    levels = sorted({lowest if lowest < -0.05 else 0.0, 0.0, 0.5, 1.0})
    grid = [f'<path d="M{x_of(x):.1f} {top}V{height - bottom}" stroke="{FAINT}" stroke-width="0.5"/>' for x in steps]
    grid += [f'<path d="M{left} {y_of(y):.1f}H{width - right}" stroke="{FAINT}" stroke-width="0.5"/>' for y in levels]
    words = [_text(x_of(x), height - bottom + 15, f"{x:g}", "middle") for x in steps]
    words += [_text(left - 6, y_of(y) + 4, f"{y:.2g}", "end") for y in levels]
    words += [_text((left + width - right) / 2, height - 8, x_title, "middle")]
    middle = (top + height - bottom) / 2
    words += [f'<g transform="rotate(-90 14 {middle:.1f})">{_text(14, middle, y_title, "middle")}</g>']
    curve = " ".join(f"{x_of(x):.1f},{y_of(y):.1f}" for x, y in points)
    line = f'<polyline points="{curve}" fill="none" stroke="{BLUE}" stroke-width="2"/>'
    return _svg(width, height, label, [*grid, *words, line])


@dataclass(frozen=True)
class Box:
    """A box with lines of text; the first one is bold."""

    x: float
    y: float
    width: float
    height: float
    lines: Sequence[str]
    fill: str = PALE

    def draw(self) -> str:
        """Its SVG."""
        middle, first = self.x + self.width / 2, self.y + self.height / 2 - 8.5 * (len(self.lines) - 1) + 4.5
        words = [_text(middle, first + 17 * n, line, "middle", bold=n == 0) for n, line in enumerate(self.lines)]
        size = f'width="{self.width:g}" height="{self.height:g}"'
        return f'<rect x="{self.x:g}" y="{self.y:g}" {size} rx="6" fill="{self.fill}" stroke="{BLUE}"/>' + "".join(words)


def arrow(*points: tuple[float, float]) -> str:
    """A line through some points that ends in an arrow head."""
    path = "L".join(f"{x:g} {y:g}" for x, y in points)
    return f'<path d="M{path}" fill="none" stroke="{INK}" stroke-width="1.4" marker-end="url(#head)"/>'


def note(x: float, y: float, text: str, anchor: str = "middle") -> str:
    """A line of text without a box."""
    return _text(x, y, text, anchor)


def diagram(width: int, height: int, label: str, parts: Iterable[str]) -> str:
    """A picture of boxes, arrows and notes."""
    head = (
        '<defs><marker id="head" viewBox="0 0 10 10" refX="9" refY="5" markerWidth="7" markerHeight="7" orient="auto">'
        f'<path d="M0 0L10 5L0 10z" fill="{INK}"/></marker></defs>'
    )
    return _svg(width, height, label, [head, *parts])


def _svg(width: int, height: int, label: str, parts: Iterable[str]) -> str:
    start = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" role="img"'
    title = f'aria-label="{escape(label)}" {FONT} font-size="12">'
    return "\n".join([f"{start} {title}", '<rect width="100%" height="100%" fill="#fff"/>', *parts, "</svg>", ""])


def _text(x: float, y: float, text: str, anchor: str, bold: bool = False) -> str:
    weight = ' font-weight="600"' if bold else ""
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" fill="{INK}"{weight}>{escape(text)}</text>'
