// A real dataset, whole: UC Merced's 1,680 scenes.
import { decodeImage, ImageFolder } from 'mnv2-torch';
import { requireData } from '../support/data.ts';

requireData('UC Merced', (file) => {
  test('all 1,680 images pack; the two equal airplanes stay together; the TIFFs decode', async () => {
    const data = await ImageFolder.open(file('ucmerced'), { size: 64, cache: 'off' });
    const split = await data.ready();
    expect([data.files.length, data.classes.length, split.val.length]).toEqual([1680, 21, 504]);
    const [one, two] = ['airplane/airplane01.jpg', 'airplane/airplane02.jpg'].map((f) => data.files.indexOf(f));
    expect(data.store.equal(one!, two!)).toBe(true);
    expect(split.val.includes(one!)).toBe(split.val.includes(two!));
    const tif = await decodeImage(file('ucmerced-tif/airplane/airplane00.tif'), 64);
    const jpg = data.store.get(data.files.indexOf('airplane/airplane00.jpg'));
    expect(tif.reduce((a, v, i) => a + Math.abs(v - jpg[i]!), 0) / tif.length).toBeLessThan(3);
    data.dispose();
  });
});
