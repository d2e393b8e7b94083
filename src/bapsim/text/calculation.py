"""Calculations in texts, worked out again exactly: `48 / 2 = 24`, and marks `<<48/2=24>>`.

No floating point: a result is right if it is the exact value, or that value rounded to the decimals written.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from fractions import Fraction
from itertools import pairwise

LONGEST = 400  # characters of one side
LINE = 1000  # characters of a part of a line in which equations are looked for
DEEPEST = 30  # brackets
POWER = 64  # the highest exponent, and 10 ** POWER the largest base of one
_NUMBER = r"(?:\d{1,3}(?:,\d{3})+(?!\d)|\d+)(?:\.\d+)?|\.\d+"
_TOKEN = re.compile(rf"\s*(?:[$€£₩]\s*)?({_NUMBER}|\*\*|[-+*/^()%])")
_MARK = re.compile(r"<<([^<>\n]{1,400})>>([ \t]*[-+]?[$€£₩]?[ \t]*[\d.,]*\d)?")
_SIGNS = str.maketrans({"×": "*", "÷": "/", "−": "-", "–": "-", "·": "*", "[": "(", "]": ")", "＝": "="})
_TIMES = re.compile(r"(?<=[\d)%])\s*[xX]\s*(?=[-$€£₩(.\d])")
_SIDE = r"[-+*/^()%$€£₩.,\d \t]*[\d)%][ \t]*"
_PARTS = re.compile(r"[,.;:]?\n|[,.;:][ \t]")
_LEADING = re.compile(r"^[ \t*/^)%,.+]+")
_EQUATION = re.compile(rf"(?<![\w.,])(?:{_SIDE})(?:=[ \t]*{_SIDE})+(?![\w(])")


class NoCalculation(ValueError):
    """A text that is no calculation that can be worked out."""


def value(expression: str) -> Fraction:
    """What an expression of + - * / ** % and brackets comes to; 50% is 1/2; raises NoCalculation."""
    text = _TIMES.sub("*", expression.translate(_SIGNS)).strip()
    if len(text) > LONGEST:
        raise NoCalculation("too long")
    tokens, at = [], 0
    while at < len(text):
        found = _TOKEN.match(text, at)
        if found is None:
            raise NoCalculation(text[at : at + 10])
        tokens.append(found[1].replace(",", "").replace("^", "**"))
        at = found.end()
    reader = _Reader([*tokens, ""])
    result = reader.sum(0)
    if reader.tokens[reader.at]:
        raise NoCalculation(reader.tokens[reader.at])
    return result


class _Reader:
    """Recursive descent over tokens; the last one is empty."""

    def __init__(self, tokens: list[str]) -> None:
        self.tokens, self.at = tokens, 0

    def take(self, *among: str) -> str:
        token = self.tokens[self.at]
        if token and token in among:
            self.at += 1
            return token
        return ""

    def sum(self, depth: int) -> Fraction:
        total = self.product(depth)
        while sign := self.take("+", "-"):
            other = self.product(depth)
            total = total + other if sign == "+" else total - other
        return total

    def product(self, depth: int) -> Fraction:
        total = self.signed(depth)
        while sign := self.take("*", "/"):
            other = self.signed(depth)
            if sign == "/" and other == 0:
                raise NoCalculation("division by zero")
            total = total * other if sign == "*" else total / other
        return total

    def signed(self, depth: int) -> Fraction:
        sign = self.take("+", "-")
        total = self.signed(depth + 1) if sign and depth < DEEPEST else self.power(depth)
        return -total if sign == "-" else total

    def power(self, depth: int) -> Fraction:
        base = self.atom(depth)
        if not self.take("**"):
            return base
        up = self.signed(depth + 1)
        large = max(abs(base.numerator), base.denominator) > 10**POWER
        if up.denominator != 1 or abs(up) > POWER or large or (base == 0 and up < 0):
            raise NoCalculation("power")
        return base ** int(up)

    def atom(self, depth: int) -> Fraction:
        if depth >= DEEPEST:
            raise NoCalculation("too deep")
        if self.take("("):
            inner = self.sum(depth + 1)
            if not self.take(")"):
                raise NoCalculation("bracket")
        else:
            token = self.tokens[self.at]
            if not token or not (token[0].isdigit() or token[0] == "."):
                raise NoCalculation(token)
            self.at += 1
            inner = Fraction(token)
        while self.take("%"):
            inner /= 100
        return inner


def comes_to(result: Fraction, written: str) -> bool:
    """Whether a number as it is written is this value, or this value rounded to the decimals written.

    A percent sign behind it may be a unit: 95 / 100 and 100 - 5 are both 95%.
    """
    plain = written.strip()
    if plain.endswith("%"):
        return comes_to(result, plain[:-1]) or comes_to(result * 100, plain[:-1])
    said = value(plain)
    decimals = len(plain.partition(".")[2])
    return said == result or (decimals > 0 and abs(said - result) * 2 * 10**decimals <= 1)


def equations(text: str) -> Iterator[tuple[str, str]]:
    """(calculation, result as written) of every mark and every equation in a text; of a = b = c, both steps.

    A number behind a mark has to be its result, too. What stands in a line and is no calculation is left out;
    a mark that cannot be worked out is not.
    """
    for mark in _MARK.finditer(text):
        left, sign, right = mark[1].rpartition("=")
        if sign:
            yield left, right
            if mark[2]:
                yield right, mark[2]
    clean = _TIMES.sub("*", _MARK.sub(_result, text).translate(_SIGNS))
    for line in _PARTS.split(clean):
        for found in _EQUATION.finditer(line[:LINE]) if "=" in line else ():
            for left, right in pairwise(found.group().split("=")):
                calculation = _LEADING.sub("", left)
                operated = any(sign in calculation[1:] for sign in "+-*/^")
                if operated and _calculated(calculation) and _calculated(right):
                    yield calculation, right


def _calculated(side: str) -> bool:
    """Whether a side of an equation can be worked out."""
    try:
        value(side)
    except NoCalculation:
        return False
    return True


def _result(mark: re.Match[str]) -> str:
    """A mark in a line is an aside: what stands behind it goes on where it began."""
    return mark[2] or ""


def results(text: str) -> list[Fraction]:
    """The values of all results that a text writes, in order."""
    return [value(right) for _, right in equations(text)]
