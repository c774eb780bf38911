"""A plot as SVG: lines over two logarithmic axes. Nothing but the standard library."""

import html
import math

WIDTH, HEIGHT = 760, 420
LEFT, RIGHT, TOP, BOTTOM = 70, 40, 50, 110
COLOURS = ("#0b6e4f", "#b4442a", "#3454a4", "#7a5195")


class Line:
    def __init__(self, name):
        self.name, self.points = name, []


def decades(values):
    """The exponents of the powers of ten around the values."""
    low, high = math.floor(math.log10(min(values))), math.ceil(math.log10(max(values)))
    return low, max(high, low + 1)


def number(value):
    return f"{value:,.0f}" if value >= 1 else f"{value:g}"


def plot(title, x_title, y_title, lines, level=None):
    """Lines of (x, y) points above 0; level: (name, y) of a dashed line. The SVG's text."""
    points = [point for line in lines for point in line.points]
    if not points:
        points = [(1, 1)]
    x_low, x_high = decades([x for x, _ in points])
    y_low, y_high = decades([y for _, y in points] + ([level[1]] if level else []))

    def x_at(x):
        return LEFT + (math.log10(x) - x_low) / (x_high - x_low) * (WIDTH - LEFT - RIGHT)

    def y_at(y):
        return HEIGHT - BOTTOM - (math.log10(y) - y_low) / (y_high - y_low) * (HEIGHT - TOP - BOTTOM)

    out = [f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" font-family="sans-serif" '
           f'font-size="13">', f'<rect width="{WIDTH}" height="{HEIGHT}" fill="#ffffff"/>']

    def text(x, y, words, anchor="middle", more=""):
        out.append(f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}"{more}>{html.escape(words)}</text>')

    def stroke(x1, y1, x2, y2, colour, more=""):
        out.append(f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" stroke="{colour}"{more}/>')

    text(WIDTH / 2, 24, title, more=' font-weight="bold"')
    for k in range(x_low, x_high + 1):
        stroke(x_at(10 ** k), TOP, x_at(10 ** k), HEIGHT - BOTTOM, "#dddddd")
        text(x_at(10 ** k), HEIGHT - BOTTOM + 18, number(10 ** k))
    for k in range(y_low, y_high + 1):
        stroke(LEFT, y_at(10 ** k), WIDTH - RIGHT, y_at(10 ** k), "#dddddd")
        text(LEFT - 8, y_at(10 ** k) + 4, f"{number(10 ** k)} {y_title}", "end")
    text((LEFT + WIDTH - RIGHT) / 2, HEIGHT - BOTTOM + 36, x_title)
    if level:
        stroke(LEFT, y_at(level[1]), WIDTH - RIGHT, y_at(level[1]), "#555555", ' stroke-dasharray="6 4"')
        text(WIDTH - RIGHT, y_at(level[1]) + 16, f"{level[0]}: {level[1]:.2f} {y_title}", "end", ' fill="#555555"')
    for place, (line, colour) in enumerate(zip(lines, COLOURS)):
        path = " ".join(f"{x_at(x):.1f},{y_at(y):.1f}" for x, y in line.points)
        out.append(f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="2"/>')
        out += [f'<circle cx="{x_at(x):.1f}" cy="{y_at(y):.1f}" r="3.5" fill="{colour}"><title>{number(x)}: {y:.3f} '
                f'{html.escape(y_title)}</title></circle>' for x, y in line.points]
        y = HEIGHT - BOTTOM + 58 + 17 * place
        stroke(LEFT, y - 4, LEFT + 26, y - 4, colour, ' stroke-width="2"')
        text(LEFT + 34, y, line.name, "start")
    return "\n".join([*out, "</svg>", ""])
