import android.graphics.Bitmap
import android.graphics.ImageDecoder
import java.nio.ByteBuffer
import kotlin.math.abs
import kotlin.math.max
import kotlin.math.min
import kotlin.math.roundToInt
import org.tensorflow.lite.Interpreter

/** `model`: the `.tflite` file, mapped, or in a direct buffer of `ByteOrder.nativeOrder()`. */
class Complexity(model: ByteBuffer) : AutoCloseable {
    private val interpreter = Interpreter(model, Interpreter.Options().setNumThreads(2))
    private val size = interpreter.getInputTensorFromSignature("image", "serving_default").shape()[1]
    private val cells = interpreter.getOutputTensorFromSignature("map", "serving_default").shape()

    /** The score, and the map by rows. */
    fun score(source: ImageDecoder.Source): Pair<Float, Array<FloatArray>> {
        // ImageDecoder turns the picture upright itself.
        val bitmap = ImageDecoder.decodeBitmap(source) { decoder, _, _ ->
            decoder.allocator = ImageDecoder.ALLOCATOR_SOFTWARE
            decoder.isUnpremultipliedRequired = true
        }
        val score = FloatArray(1)
        val map = arrayOf(Array(cells[1]) { FloatArray(cells[2]) })
        val image = ByteBuffer.allocateDirect(size * size * 3).put(networkInput(bitmap, size))
        image.rewind()
        interpreter.runSignature(mapOf("image" to image), mapOf("score" to score, "map" to map), "serving_default")
        return Pair(score[0], map[0])
    }

    override fun close() = interpreter.close()
}

/** The whole bitmap as size × size × 3 bytes, by the antialiased triangle filter. */
fun networkInput(bitmap: Bitmap, size: Int): ByteArray {
    val columns = triangles(bitmap.width, size)
    val narrow = IntArray(bitmap.height * size * 3)
    val argb = IntArray(bitmap.width)
    val row = IntArray(bitmap.width * 3)
    for (y in 0 until bitmap.height) {
        bitmap.getPixels(argb, 0, bitmap.width, 0, y, bitmap.width, 1)
        for (i in row.indices) {
            val alpha = argb[i / 3] ushr 24
            val value = argb[i / 3] shr (16 - 8 * (i % 3)) and 255
            row[i] = (value * alpha + 255 * (255 - alpha) + 127) / 255
        }
        for (i in 0 until size * 3) narrow[y * size * 3 + i] = weighted(row, i % 3, 3, columns[i / 3])
    }
    val rows = triangles(bitmap.height, size)
    return ByteArray(size * size * 3) { weighted(narrow, it % (size * 3), size * 3, rows[it / (size * 3)]).toByte() }
}

private const val BITS = 22

/** For each output the first input that it reads, and the weights of those from there. */
private fun triangles(length: Int, size: Int): List<Pair<Int, IntArray>> {
    val scale = length.toDouble() / size
    val reach = max(scale, 1.0)
    return List(size) {
        val center = (it + 0.5) * scale
        val first = max((center - reach + 0.5).toInt(), 0)
        val end = min((center + reach + 0.5).toInt(), length)
        val heights = (first until end).map { at -> max(1 - abs(at - center + 0.5) / reach, 0.0) }
        Pair(first, heights.map { height -> (height / heights.sum() * (1 shl BITS)).roundToInt() }.toIntArray())
    }
}

private fun weighted(values: IntArray, start: Int, step: Int, triangle: Pair<Int, IntArray>): Int {
    var sum = 1 shl (BITS - 1)
    triangle.second.forEachIndexed { k, weight -> sum += values[start + (triangle.first + k) * step] * weight }
    return min(sum shr BITS, 255)
}
