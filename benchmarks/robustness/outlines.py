"""Provisional, until `picture/grid.py` finds grids: the nine by nine cells of a sudoku photo, by OpenCV's contours.

In: gray uint8 (H, W). Out: the grid, seen from above, uint8 (9·side, 9·side); None if there is no quadrilateral.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from inkdigit.types import Gray


def corners(gray: Gray) -> NDArray[np.float32] | None:
    """The corners of the largest quadrilateral: (4, 2), from the top left, clockwise."""
    smooth = cv2.GaussianBlur(gray, (5, 5), 0)
    block = max(11, (min(gray.shape) // 30) | 1)
    dark = cv2.adaptiveThreshold(smooth, 255, cv2.ADAPTIVE_THRESH_MEAN_C, cv2.THRESH_BINARY_INV, block, 5)
    dark = cv2.morphologyEx(dark, cv2.MORPH_CLOSE, np.ones((3, 3), np.uint8))
    contours, _ = cv2.findContours(dark, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)
    for contour in sorted(contours, key=cv2.contourArea, reverse=True)[:5]:
        hull = cv2.convexHull(contour)
        for share in (0.01, 0.02, 0.03, 0.05, 0.08):
            polygon = cv2.approxPolyDP(hull, share * cv2.arcLength(hull, True), True)
            if len(polygon) == 4 and cv2.contourArea(polygon) > 0.08 * gray.size:
                points = polygon[:, 0].astype(np.float32)
                total, difference = points.sum(1), points[:, 0] - points[:, 1]
                order = [total.argmin(), difference.argmax(), total.argmax(), difference.argmin()]
                return points[order] if len(set(order)) == 4 else None
    return None


def seen_from_above(gray: Gray, found: NDArray[np.float32], side: int) -> Gray:
    """The grid between its corners as a square of 9·side pixels."""
    full = 9 * side
    goal = np.array([[0, 0], [full, 0], [full, full], [0, full]], np.float32)
    return np.asarray(
        cv2.warpPerspective(gray, cv2.getPerspectiveTransform(found, goal), (full, full), flags=cv2.INTER_AREA)
    )
